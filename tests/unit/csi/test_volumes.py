from pathlib import Path

import pytest

from kdist.csi import mounts
from kdist.csi.driver import unsupported
from kdist.csi.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from kdist.csi.proto import csi_pb2 as pb
from kdist.csi.volumes import Volumes


def test_creating_twice_finds_the_same_volume_and_refuses_another_size(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    assert volumes.create("v", 10, 0) == volumes.create("v", 10, 0)
    with pytest.raises(AlreadyExists):
        volumes.create("v", 11, 0)


def test_any_user_may_write_to_a_new_volume(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    volumes.create("v", 0, 0)
    assert volumes.directory("v").stat().st_mode & 0o777 == 0o777


def test_deleting_removes_the_data_and_may_be_repeated(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    volumes.create("v", 0, 0)
    (volumes.directory("v") / "file").write_text("x")
    volumes.delete("v")
    volumes.delete("v")
    with pytest.raises(NotFound):
        volumes.directory("v")
    assert not list((tmp_path / "deleted").iterdir())


def test_an_interrupted_deletion_is_finished_at_the_next_start(tmp_path: Path) -> None:
    Volumes(tmp_path)
    (tmp_path / "deleted" / "v.1").mkdir()
    Volumes(tmp_path)
    assert not list((tmp_path / "deleted").iterdir())


@pytest.mark.parametrize("id", ["", "..", "a/b", "../v", ".hidden", "a" * 200])
def test_ids_that_are_no_file_names_are_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(InvalidArgument):
        Volumes(tmp_path).delete(id)


def test_more_than_is_free_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceExhausted):
        Volumes(tmp_path).create("v", 1 << 60, 0)


def test_mount_points_with_blanks_are_understood() -> None:
    line = "36 35 98:0 /a /mnt/with\\040blank rw,noatime - ext4 /dev/root rw"
    assert mounts.parse(line) == [Path("/mnt/with blank")]


def test_only_single_node_volumes_with_a_file_system_are_supported() -> None:
    def capability(mode: int, **kind: object) -> pb.VolumeCapability:
        access = pb.VolumeCapability.AccessMode(mode=mode)
        return pb.VolumeCapability(access_mode=access, **kind)

    mount, block = pb.VolumeCapability.MountVolume(), pb.VolumeCapability.BlockVolume()
    assert unsupported([capability(1, mount=mount), capability(7, mount=mount)]) is None
    assert unsupported([capability(5, mount=mount)])
    assert unsupported([capability(1, block=block)])
