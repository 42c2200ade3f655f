"""The bill of materials names every component with licence and checksum, in a form that other tools read."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from debian.copyright import Copyright

from kdist.lifecycle.bundle import licences, sbom
from kdist.lifecycle.bundle.process import BundleError

RUNC = sbom.Item(
    "package",
    "runc",
    "1.1.5+ds1-1",
    sbom.package_url("runc", "1.1.5+ds1-1", "bookworm"),
    "a" * 64,
    ("Apache-2.0", "GPL-3+ or Apache-2.0"),
)
AIOHTTP = sbom.Item(
    "wheel",
    "aiohttp",
    "3.14.5",
    sbom.wheel_url("aiohttp", "3.14.5", "aiohttp-3.14.5-cp311.whl"),
    "b" * 64,
    ("Apache-2.0 AND MIT",),
)
IMAGE = sbom.Item(
    "image",
    "localhost/kdist",
    "0.1.0",
    sbom.image_url("localhost/kdist:0.1.0", f"sha256:{'c' * 64}"),
    "c" * 64,
    needs=(str(RUNC.purl), str(AIOHTTP.purl)),
)


def test_the_document_is_valid_cyclonedx_and_always_the_same() -> None:
    written = sbom.document("0.1.0", [RUNC, AIOHTTP, IMAGE])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.decode()) is None
    assert sbom.document("0.1.0", [IMAGE, AIOHTTP, RUNC]) == written


def test_components_have_licence_checksum_and_what_they_are_made_of() -> None:
    content = json.loads(sbom.document("0.1.0", [RUNC, AIOHTTP, IMAGE]))
    by_name = {component["name"]: component for component in content["components"]}
    assert by_name["aiohttp"]["licenses"] == [{"expression": "Apache-2.0 AND MIT"}]
    assert by_name["runc"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    depends = {entry["ref"]: entry.get("dependsOn", []) for entry in content["dependencies"]}
    assert set(depends[str(IMAGE.purl)]) == {str(RUNC.purl), str(AIOHTTP.purl)}


def test_the_components_are_listed_from_the_document(tmp_path: Path) -> None:
    (tmp_path / sbom.FILE).write_bytes(sbom.document("0.1.0", [RUNC, AIOHTTP, IMAGE]))
    listed = sbom.lines(tmp_path)
    assert [(line.kind, line.name, line.licence) for line in listed] == [
        ("image", "localhost/kdist", ""),
        ("package", "runc", "Apache-2.0, GPL-3+ or Apache-2.0"),
        ("wheel", "aiohttp", "Apache-2.0 AND MIT"),
    ]


def test_a_missing_or_damaged_document_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no sbom\.cdx\.json"):
        sbom.lines(tmp_path)
    (tmp_path / sbom.FILE).write_text("{}")
    with pytest.raises(BundleError, match="is damaged"):
        sbom.lines(tmp_path)


def test_licences_are_read_from_copyright_files_of_both_kinds() -> None:
    machine_readable = (
        f"Format: {Copyright().header.format}\n\n"
        "Files: *\nCopyright: 2020 X\nLicense: GPL-2+\n\nFiles: b\nCopyright: 2020 X\nLicense: Expat\n"
    )
    assert licences.names_in(machine_readable) == ["Expat", "GPL-2+"]
    prose = (
        "On Debian systems see /usr/share/common-licenses/LGPL-2.1. Also `/usr/share/common-licenses/GPL-2'."
    )
    assert licences.names_in(prose) == ["GPL-2", "LGPL-2.1"]
    assert licences.names_in("All rights reserved.") == []


def test_a_wheels_licence_is_its_expression_its_name_or_its_classifier() -> None:
    metadata = Message()
    metadata["Classifier"] = "License :: OSI Approved :: MIT License"
    assert licences.of_wheel(metadata) == ("MIT License",)
    metadata["License"] = "Permission is hereby granted, free of charge,\nto any person"
    assert licences.of_wheel(metadata) == ("MIT License",)
    metadata["License-Expression"] = "Apache-2.0 OR MIT"
    assert licences.of_wheel(metadata) == ("Apache-2.0 OR MIT",)
