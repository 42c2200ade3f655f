"""A bundle's directory holds exactly what belongs there, and nothing else is ever replaced by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kdist.cli.bundle import bundle as command
from kdist.lifecycle.bundle import contents
from kdist.lifecycle.bundle.manifest import NODE
from kdist.lifecycle.bundle.process import BundleError
from tests.unit.lifecycle.bundle.sample import KEY, OTHER, bundle, line


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_a_new_layout_removes_what_the_last_one_had_besides(tmp_path: Path) -> None:
    bundle(tmp_path)
    (tmp_path / "kept").write_bytes(b"same")
    contents.lay_out(tmp_path, {"a/b": contents.document(b"x", NODE)})
    # The old signature marks the directory as a bundle until the new manifest is there.
    assert names(tmp_path) == {"a", "a/b", "manifest.json.sig", "signer.pub"}
    contents.check_place(tmp_path)


def test_a_directory_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(BundleError, match="is not empty and no bundle"):
        contents.check_place(tmp_path)


def test_a_bundle_that_others_signed_fails_verification_with_their_key(tmp_path: Path) -> None:
    bundle(tmp_path, OTHER)
    done = CliRunner().invoke(command, ["verify", str(tmp_path), "--key", line(KEY)])
    assert done.exit_code == 1
    assert f"is signed with the key {line(OTHER)}, not with the trusted key {line(KEY)}" in done.output


def test_a_key_may_be_given_as_a_file(tmp_path: Path) -> None:
    bundle(tmp_path / "b", OTHER)
    (tmp_path / "key.pub").write_text(line(KEY))
    done = CliRunner().invoke(command, ["verify", str(tmp_path / "b"), "--key", str(tmp_path / "key.pub")])
    assert "not with the trusted key" in done.output
    done = CliRunner().invoke(command, ["verify", str(tmp_path / "b"), "--key", "nonsense"])
    assert "--key nonsense is no Ed25519 public key" in done.output


def test_differences_are_told_to_machines_and_people(tmp_path: Path) -> None:
    one, other = bundle(tmp_path / "1"), bundle(tmp_path / "2")
    done = CliRunner().invoke(command, ["diff", str(one), str(other)])
    assert "the same packages, wheels and images" in done.output
    done = CliRunner().invoke(command, ["diff", str(one), str(other), "--output", "json"])
    assert '"changes": []' in done.output


def test_keygen_prints_the_line_for_the_cluster_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first = CliRunner().invoke(command, ["keygen", "--key", str(path)])
    again = CliRunner().invoke(command, ["keygen", "--key", str(path)])
    printed = [one.output.splitlines()[-1] for one in (first, again)]
    assert printed[0] == printed[1]
    assert printed[0].startswith("kdist_bundle_key: MCowBQYDK2Vw")
