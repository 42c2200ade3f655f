"""The way of a bundle's files to a host: packed by the action plug-in, checked and placed by the module."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest

from tests.unit.modules.conftest import plugin

CONTENT = {"manifest.json": b"{}", "images/blobs/sha256/4f1c": b"layer" * 1000}
FILES = {
    name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    for name, content in CONTENT.items()
}


@pytest.fixture(scope="module")
def sender() -> ModuleType:
    return plugin("action/kdist_bundle")


@pytest.fixture(scope="module")
def receiver() -> ModuleType:
    return plugin("modules/kdist_bundle")


class Refused(Exception):
    """What the module ends with."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


@pytest.fixture
def arrived(sender: ModuleType, source: Path, tmp_path: Path) -> Path:
    """The archive that the action plug-in sends."""
    archive = tmp_path / "bundle.tar"
    with archive.open("wb") as stream:
        sender.pack(stream, source, list(CONTENT))
    return archive


def module(arrived: Path) -> Any:
    def refuse(msg: str) -> NoReturn:
        raise Refused(msg)

    return SimpleNamespace(params={"arrived": str(arrived)}, fail_json=refuse)


def placed(dest: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("*") if path.is_file()}


def test_what_arrived_as_an_archive_is_placed_and_nothing_else_is_left(
    receiver: ModuleType, arrived: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "host" / "bundle"
    receiver.take_in(module(arrived), dest, FILES, list(CONTENT))
    assert placed(dest) == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "source"]


def test_what_was_streamed_into_a_directory_is_placed(
    receiver: ModuleType, arrived: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "host" / "bundle"
    streamed = receiver.unpacked(arrived)
    assert streamed.is_dir()
    receiver.take_in(module(streamed), dest, FILES, list(CONTENT))
    assert placed(dest) == CONTENT


def test_nothing_is_placed_when_a_byte_changed_or_a_file_did_not_arrive(
    receiver: ModuleType, arrived: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "host" / "bundle"
    streamed = receiver.unpacked(arrived)
    (streamed / "images/blobs/sha256/4f1c").write_bytes(b"Layer" + b"layer" * 999)
    (streamed / "manifest.json").unlink()
    with pytest.raises(Refused) as refused:
        receiver.take_in(module(streamed), dest, FILES, list(CONTENT))
    assert "manifest.json did not arrive" in str(refused.value)
    assert "images/blobs/sha256/4f1c does not match its checksum" in str(refused.value)
    assert not dest.exists()
