"""What a host keeps to go back, in a root of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdist.lifecycle.upgrade import hostkeep

API_SERVER = "etc/kubernetes/manifests/kube-apiserver.yaml"
UNIT = "etc/systemd/system/kdist-agent.service"


def put(root: Path, name: str, content: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for version in ("0.1.0", "0.2.0"):
        put(tmp_path, f"opt/kdist/{version}/bin/kdist", version)
    (tmp_path / "opt/kdist/current").symlink_to("0.1.0")
    put(tmp_path, API_SERVER, "old")
    put(tmp_path, UNIT, "old unit")
    (tmp_path / "var/lib").mkdir(parents=True)
    return tmp_path


def move_on(root: Path) -> None:
    hostkeep.make_current(root, "0.2.0")
    put(root, API_SERVER, "new")
    put(root, UNIT, "new unit")
    put(root, "etc/kubernetes/manifests/kdist-vip.yaml", "new part")


def test_a_host_goes_back_to_exactly_what_it_was(root: Path) -> None:
    hostkeep.save(root, "0.1.0", "op")
    move_on(root)
    changed = hostkeep.restore(root, "0.1.0")["changed"]
    assert changed == ["release", UNIT, API_SERVER, "etc/kubernetes/manifests/kdist-vip.yaml"]
    assert hostkeep.current(root) == "0.1.0"
    assert ((root / API_SERVER).read_text(), (root / UNIT).read_text()) == ("old", "old unit")
    assert not (root / "etc/kubernetes/manifests/kdist-vip.yaml").exists()
    assert hostkeep.restore(root, "0.1.0") == {"changed": changed}, "killed before its restarts"
    hostkeep.settled(root)
    assert hostkeep.restore(root, "0.1.0") == {"changed": []}


def test_an_upgrade_that_is_done_again_does_not_overwrite_what_was_kept(root: Path) -> None:
    hostkeep.save(root, "0.1.0", "op")
    move_on(root)
    assert hostkeep.save(root, "0.1.0", "op") == {"saved": False}
    hostkeep.restore(root, "0.1.0")
    assert (root / API_SERVER).read_text() == "old"


def test_a_change_of_the_same_release_that_is_done_again_does_not_either(root: Path) -> None:
    hostkeep.save(root, "0.1.0", "op")
    put(root, API_SERVER, "half")
    hostkeep.save(root, "0.1.0", "op")
    hostkeep.restore(root, "0.1.0")
    assert (root / API_SERVER).read_text() == "old"


def test_a_host_without_what_it_needs_says_so_and_changes_nothing(root: Path) -> None:
    with pytest.raises(SystemExit, match=r"kept nothing of 0\.1\.0"):
        hostkeep.restore(root, "0.1.0")
    hostkeep.save(root, "0.1.0", "op")
    (root / "opt/kdist/0.1.0/bin/kdist").unlink()
    with pytest.raises(SystemExit, match=r"/opt/kdist/0\.1\.0 is gone"):
        hostkeep.restore(root, "0.1.0")
    with pytest.raises(SystemExit, match=r"runs 0\.1\.0, not 0\.3\.0"):
        hostkeep.save(root, "0.3.0", "op")


def test_looking_tells_releases_and_what_is_kept_but_no_key(root: Path) -> None:
    put(
        root,
        "etc/kubernetes/admin.conf",
        "users:\n- user:\n    client-certificate-data: QUJD\n    client-key-data: U0VDUkVU\n",
    )
    hostkeep.save(root, "0.1.0", "op")
    told = hostkeep.look(root)
    assert (told["release"], told["releases"], told["kept"]) == ("0.1.0", ["0.1.0", "0.2.0"], ["0.1.0"])
    assert told["kubeconfigs"] == {"admin.conf": "QUJD"}
    assert "U0VDUkVU" not in str(told)
