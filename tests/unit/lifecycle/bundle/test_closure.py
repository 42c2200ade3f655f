"""A bundle is closed when nothing in it needs anything that is neither in it nor in the base system."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest

from kdist.lifecycle.bundle import closure, relations
from kdist.lifecycle.bundle.manifest import NODE, HostRelease, ImageEntry, Manifest
from kdist.lifecycle.bundle.relations import Control

BASE = {"libc6": "2.36-9+deb12u14", "debconf-2.0": ""}


def control(name: str, *needs: str, version: str = "1", provides: str = "") -> Control:
    return Control(name, version, needs, provides)


@pytest.mark.parametrize(
    "needs",
    [
        ("libc6 (>= 2.34)",),
        ("b (= 1)",),
        ("mail-agent",),
        ("nowhere | libc6",),
        ("debconf (>= 0.5) | debconf-2.0",),
        ("python3:any | b:any",),
    ],
)
def test_a_need_is_met_by_the_bundle_the_base_or_what_they_provide(needs: tuple[str, ...]) -> None:
    assert relations.unmet([control("a", *needs), control("b", provides="mail-agent")], BASE) == []


@pytest.mark.parametrize("need", ["libc6 (>= 2.41)", "b (>> 1)", "libnowhere1", "mail-agent (>= 2)"])
def test_a_need_that_nothing_meets_is_told_with_its_package(need: str) -> None:
    found = relations.unmet([control("a", need), control("b", provides="mail-agent")], BASE)
    assert found == [f"a 1 needs {need}, which is neither in the bundle nor in the base system"]


def test_versions_compare_as_dpkg_compares_them() -> None:
    have = {"x": "1:1.0~rc1-2"}
    assert relations.unmet([control("a", "x (<< 1:1.0)", "x (>= 0:9)")], have) == []


def test_the_base_that_is_recorded_is_what_the_packages_name() -> None:
    needing = [control("a", "libc6 (>= 2.34)", "b", "perl | debconf-2.0"), control("b")]
    assert relations.direct(needing, BASE) == {"libc6", "debconf-2.0"}


def test_what_a_control_file_offers_is_read_with_versions() -> None:
    paragraphs = "Package: a\nVersion: 2\nProvides: v (= 3), w\n\nPackage: w\nVersion: 5\n"
    assert relations.offered(paragraphs) == {"a": "2", "v": "3", "w": "5"}


def wheel(name: str, version: str, *requires: str) -> Message:
    metadata = Message()
    metadata["Name"], metadata["Version"] = name, version
    for text in requires:
        metadata["Requires-Dist"] = text
    return metadata


def test_requirements_of_wheels_are_met_for_each_python_apart() -> None:
    metadata = {
        Path("a-1-py3-none-any.whl"): wheel(
            "a", "1", "B.c>=2", 'd; python_version < "3.12"', 'e; extra == "x"'
        ),
        Path("b_c-2-cp311-cp311-manylinux_2_17_x86_64.whl"): wheel("b-c", "2"),
        Path("b_c-1-cp313-cp313-manylinux_2_17_x86_64.whl"): wheel("b-c", "1"),
    }
    assert closure.wheels_unmet(metadata, "3.13") == ["wheel a needs B.c>=2 on Python 3.13; the bundle has 1"]
    assert closure.wheels_unmet(metadata, "3.11") == [
        'wheel a needs d; python_version < "3.12" on Python 3.11; the bundle lacks it'
    ]


def test_a_wheel_fits_the_pythons_its_tags_name() -> None:
    assert closure.fits("x-1-cp311-cp311-manylinux_2_17_x86_64.whl", "3.11")
    assert not closure.fits("x-1-cp311-cp311-manylinux_2_17_x86_64.whl", "3.13")
    assert closure.fits("x-1-cp39-abi3-manylinux_2_28_x86_64.whl", "3.13")
    assert closure.fits("x-1-py3-none-any.whl", "3.13")


def images(*names: str) -> Manifest:
    entries = tuple(ImageEntry(f"localhost/{name}", "sha256:0", NODE) for name in names)
    return Manifest("2", "bookworm", "1.32", entries, {"bookworm": HostRelease("3.11", ())})


def test_every_image_that_playbooks_name_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "examples").mkdir()
    (tmp_path / "playbooks/c.yml").write_text("x: '{{ images.etcd }}'\ny: localhost/kdist:{{ version }}\n")
    (tmp_path / "examples/d.yaml").write_text("image: localhost/web:1\n")
    named = closure.images_named(tmp_path)
    assert named == {"etcd": {None}, "kdist": {None}, "web": {"1"}}
    assert closure.unnamed(named, images("etcd:3", "kdist:2", "web:1")) == []
    assert closure.unnamed(named, images("kdist:2", "web:2")) == [
        "image localhost/etcd is named by the playbooks and not in the bundle",
        "image localhost/web:1 is named by the playbooks and not in the bundle",
    ]


def test_this_checkouts_playbooks_name_the_images_a_node_needs() -> None:
    named = closure.images_named(Path(closure.__file__).parents[3])
    assert {"pause", "kdist", "etcd", "demo-web"} <= named.keys()
