"""The ledger: what was before kdist is noted once, before it changes, and survives being cut off."""

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.kdist_ledger import DIRECTORY, Ledger


def noted(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / DIRECTORY.lstrip("/") / "ledger.json").read_text())
    return content


def put(root: Path, name: str, text: str, mode: int = 0o644) -> Path:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_host_that_kdist_never_touched_has_none(tmp_path: Path) -> None:
    assert Ledger(tmp_path).read() is None


def test_the_beginning_lists_what_was_in_the_trees_and_not_the_ledger_itself(tmp_path: Path) -> None:
    put(tmp_path, "/etc/containerd/conf.d/mine.toml", "")
    Ledger(tmp_path).begin()
    trees = noted(tmp_path)["trees"]
    assert trees["/etc/containerd"] == ["conf.d", "conf.d/mine.toml"]
    assert trees["/var/lib/kdist"] is None
    assert trees["/opt/kdist"] is None


def test_a_changed_file_is_kept_as_it_was_before_the_first_change(tmp_path: Path) -> None:
    path = put(tmp_path, "/etc/crictl.yaml", "before", 0o600)
    ledger = Ledger(tmp_path)
    ledger.file("/etc/crictl.yaml")
    path.write_text("after")
    ledger.file("/etc/crictl.yaml")
    entry = noted(tmp_path)["files"]["/etc/crictl.yaml"]
    assert entry["mode"] == 0o600
    assert ledger.saved(entry).read_text() == "before"


def test_a_file_of_a_tree_that_came_with_kdist_is_no_earlier_one_when_it_changes(tmp_path: Path) -> None:
    put(tmp_path, "/etc/kubernetes/mine.conf", "before")
    ledger = Ledger(tmp_path)
    for content in ("first", "second"):
        for name in ("/etc/kubernetes/manifests/new.yaml", "/etc/kubernetes/mine.conf"):
            ledger.file(name)
            put(tmp_path, name, content)
    (name,) = noted(tmp_path)["files"]
    assert name == "/etc/kubernetes/mine.conf"
    assert ledger.saved(noted(tmp_path)["files"][name]).read_text() == "before"


def test_a_new_file_is_noted_with_the_directories_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    Ledger(tmp_path).file("/etc/one/two/new.conf")
    assert noted(tmp_path)["files"] == {"/etc/one/two/new.conf": None}
    assert noted(tmp_path)["directories"] == ["/etc/one", "/etc/one/two"]


def test_a_link_is_noted_by_its_target(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/link").symlink_to("elsewhere")
    Ledger(tmp_path).file("/etc/link")
    assert noted(tmp_path)["files"]["/etc/link"]["target"] == "elsewhere"


def test_new_files_in_trees_need_no_entry_of_their_own(tmp_path: Path) -> None:
    Ledger(tmp_path).file("/etc/kubernetes/manifests/etcd.yaml")
    assert noted(tmp_path)["files"] == {}


def test_a_second_installation_does_not_overwrite_what_the_first_noted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.packages({"runc": None, "nftables": "1.0"})
    ledger.packages({"runc": "1.1", "nftables": "1.1", "socat": None})
    ledger.sysctl("net.ipv4.ip_forward", "0")
    ledger.sysctl("net.ipv4.ip_forward", "1")
    assert noted(tmp_path)["packages"] == {"runc": None, "nftables": "1.0", "socat": None}
    assert noted(tmp_path)["sysctls"]["net.ipv4.ip_forward"] == "0"


def test_an_installation_without_a_ledger_is_adopted_as_ours(tmp_path: Path) -> None:
    put(tmp_path, "/opt/kdist/0.0.9/bin/kdist", "")
    put(tmp_path, "/etc/kubernetes/admin.conf", "")
    Ledger(tmp_path).begin()
    assert noted(tmp_path)["adopted"]
    assert noted(tmp_path)["trees"]["/etc/kubernetes"] is None


def test_a_ledger_of_another_format_is_refused(tmp_path: Path) -> None:
    put(tmp_path, f"{DIRECTORY}/ledger.json", '{"format": 99}')
    with pytest.raises(ValueError, match="has format 99"):
        Ledger(tmp_path).begin()


def test_nothing_is_left_of_a_removed_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin()
    ledger.remove()
    assert ledger.read() is None
