"""What goes into a bundle, how it is described, and how damage is told."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from kdist.api.features import LEVELS
from kdist.lifecycle.bundle import load, rootfs, signature, site, wheels
from kdist.lifecycle.bundle.apt import Package, sources
from kdist.lifecycle.bundle.layers import Blob, LayerCache, TarWriter, file_digest
from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, NODE, HostRelease, Manifest, verify
from kdist.lifecycle.bundle.process import BundleError
from tests.unit.lifecycle.bundle.sample import bundle

DEB = "debs/bookworm/node/a_1_amd64.deb"
DEBIAN = "http://mirror.example/debian/"


def tree(directory: Path) -> Path:
    (directory / "b").mkdir(parents=True)
    (directory / "b/run").write_text("x")
    (directory / "b/run").chmod(0o750)
    (directory / "a").symlink_to("b/run")
    return directory


def archive(source: Path) -> bytes:
    file = io.BytesIO()
    writer = TarWriter(file)
    writer.tree(source)
    writer.close()
    return file.getvalue()


def test_the_same_files_make_the_same_layer_whenever_and_wherever(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert archive(first) == archive(second)
    with tarfile.open(fileobj=io.BytesIO(archive(first))) as written:
        members = written.getmembers()
    assert [(m.name, m.mode, m.uid, m.mtime) for m in members if m.isfile()] == [("b/run", 0o755, 0, 0)]


def test_a_layer_is_made_once_per_inputs_and_its_predecessor_forgotten(tmp_path: Path) -> None:
    cache, made = LayerCache(tmp_path), []

    def layer(inputs: str) -> Blob:
        return cache.layer("x", inputs, lambda tar: made.append(inputs) or tar.file("f", inputs.encode()))  # type: ignore[func-returns-value]

    assert layer("1") == layer("1")
    blob = layer("2")
    assert made == ["1", "2"]
    assert list(tmp_path.glob("*.tar")) == [blob.path]
    assert blob.digest == file_digest(blob.path)


def test_sources_follow_the_machines_mirror_to_another_release() -> None:
    targets = [
        (DEBIAN, "bookworm", "main"),
        (DEBIAN, "bookworm", "contrib"),
        (DEBIAN, "bookworm-updates", "main"),
        (DEBIAN, "bookworm-backports", "main"),
        ("http://mirror.example/security/", "bookworm-security", "main"),
    ]
    lines = [line.split()[-3:] for line in sources(targets, "trixie")]
    assert lines == [
        [DEBIAN, "trixie", "main"],
        [DEBIAN, "trixie-updates", "main"],
        ["http://mirror.example/security/", "trixie-security", "main"],
    ]


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("1:1.35.0-4+deb12u1+b1", "1.35.0"), ("3.4.23-4+b4", "3.4.23"), ("1.1.1+ds1-3", "1.1.1+ds1")],
)
def test_an_image_is_tagged_with_the_softwares_own_version(version: str, upstream: str) -> None:
    assert Package("p", version, Path("p.deb")).upstream == upstream


def test_packages_land_on_a_merged_usr_without_documentation() -> None:
    assert rootfs.merged("lib/x86_64-linux-gnu/libc.so.6") == "usr/lib/x86_64-linux-gnu/libc.so.6"
    assert rootfs.merged("library/x") == "library/x"
    assert rootfs.unneeded("usr/share/doc/runc/copyright")
    assert not rootfs.unneeded("usr/share/zoneinfo/UTC")


def test_a_host_gets_the_definitions_of_the_api_levels_that_can_be_served_only() -> None:
    levels = frozenset(LEVELS)
    base = "kubernetes_validate/kubernetes-json-schema"
    assert site.needed(f"{base}/v1.33.0-local/_definitions.json", levels)
    assert not site.needed(f"{base}/v1.33.0-local/pod-v1.json", levels)
    assert not site.needed(f"{base}/v1.34.0-local/_definitions.json", levels)
    assert site.needed("aiohttp/client.py", levels)
    assert not site.needed("numpy/linalg/tests/test_linalg.py", levels)


def test_wheel_members_outside_site_packages_are_left_out() -> None:
    assert site.placed("grpc/__init__.py") == "grpc/__init__.py"
    assert site.placed("x-1.data/purelib/x/y.py") == "x/y.py"
    assert site.placed("x-1.data/scripts/x") is None


def test_a_pin_says_for_which_python_it_is_only_where_they_differ() -> None:
    rendered = wheels.render({"a==1": {"h1": {"3.11"}, "h2": {"3.13"}}, "b==2": {"h3": {"3.11"}}})
    assert rendered == (
        "a==1 \\\n    --hash=sha256:h1 \\\n    --hash=sha256:h2\n"
        'b==2 ; python_version == "3.11" \\\n    --hash=sha256:h3\n'
    )


def test_a_manifest_reads_back_what_it_wrote(tmp_path: Path) -> None:
    read = Manifest.read(bundle(tmp_path))
    assert read.files[DEB].needed_by == NODE
    assert json.loads((tmp_path / "manifest.json").read_text())["images"][0]["for"] == CONTROL_PLANE


def test_hosts_of_a_release_get_its_files_and_those_of_all(tmp_path: Path) -> None:
    read = Manifest.read(bundle(tmp_path))
    both = replace(read, hosts={**read.hosts, "trixie": HostRelease("3.13", ("site/trixie/1",))})
    assert both.share("trixie")["site"] == ["site/trixie/1"]
    assert DEB in both.share("bookworm")["files"]
    assert DEB not in both.share("trixie")["files"]
    assert "images/index.json" in both.share("trixie")["files"]


def test_every_missing_altered_and_unexpected_file_is_named(tmp_path: Path) -> None:
    manifest = Manifest.read(bundle(tmp_path))
    assert verify(tmp_path, manifest) == []
    (tmp_path / "wheels/a-1-py3-none-any.whl").unlink()
    (tmp_path / DEB).write_bytes(b"dab")
    (tmp_path / "extra").write_text("")
    assert verify(tmp_path, manifest) == [
        f"altered: {DEB} (sha256 differs)",
        "missing: wheels/a-1-py3-none-any.whl",
        "unexpected: extra",
    ]
    assert verify(tmp_path, manifest, (NODE, CONTROL_PLANE)) == [
        f"altered: {DEB} (sha256 differs)",
        "unexpected: extra",
    ]
    (tmp_path / DEB).unlink()
    assert verify(tmp_path, manifest, (NODE,), "trixie") == ["unexpected: extra"]


def test_a_directory_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        signature.check(tmp_path)


def test_images_are_streamed_as_an_archive_of_the_blobs_they_need(tmp_path: Path) -> None:
    bundle(tmp_path)
    entries = json.loads((tmp_path / "images/index.json").read_text())["manifests"]
    with (tmp_path / "out.tar").open("wb") as pipe:
        load.stream(tmp_path, entries, pipe)
    with tarfile.open(tmp_path / "out.tar") as written:
        names = written.getnames()
        index = json.load(written.extractfile("index.json"))  # type: ignore[arg-type]
    assert names[:2] == ["oci-layout", "index.json"]
    assert set(names[2:]) == {
        str(path.relative_to(tmp_path / "images")) for path in tmp_path.glob("images/blobs/*/*")
    }
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "localhost/x:1"


def test_blobs_that_containerd_holds_already_are_not_streamed_again(tmp_path: Path) -> None:
    bundle(tmp_path)
    entries = json.loads((tmp_path / "images/index.json").read_text())["manifests"]
    blobs = sorted(tmp_path.glob("images/blobs/sha256/*"))
    with (tmp_path / "out.tar").open("wb") as pipe:
        load.stream(tmp_path, entries, pipe, known=frozenset({f"sha256:{blobs[0].name}"}))
    with tarfile.open(tmp_path / "out.tar") as written:
        names = set(written.getnames())
    assert {f"blobs/sha256/{blob.name}" for blob in blobs} - names == {f"blobs/sha256/{blobs[0].name}"}
