"""Nothing of a bundle is believed before its signature fits a key that is trusted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kdist.lifecycle.bundle import intake, signature, trust
from kdist.lifecycle.bundle.process import BundleError
from tests.unit.lifecycle.bundle.sample import KEY, OTHER, bundle, line


def told(directory: Path, configured: str | None = None, inventory: Path | None = None) -> str:
    taken = intake.take(directory, configured, inventory or directory.parent)
    return "\n".join(taken.faults)


def test_a_bundle_as_it_was_signed_is_taken(tmp_path: Path) -> None:
    taken = intake.take(bundle(tmp_path / "b"), line(KEY), tmp_path)
    assert taken.manifest and taken.manifest.version == "1"
    assert (taken.faults, taken.first_key) == ((), None)


def test_one_flipped_bit_in_any_file_is_refused_and_told(tmp_path: Path) -> None:
    directory = bundle(tmp_path / "b")
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1}:
            broken = bytearray(whole)
            broken[position] ^= 1
            path.write_bytes(broken)
            # Line ends and the armour of signer.pub carry no information: the key is what counts.
            same_key = path.name == "signer.pub" and _key_of(path) == line(KEY)
            assert same_key or told(directory, line(KEY)), f"{path}, byte {position}"
        path.write_bytes(whole)
    assert told(directory, line(KEY)) == ""


def _key_of(path: Path) -> str | None:
    try:
        return signature.line_of(signature.parse_key(path.read_text(errors="replace")))
    except ValueError:
        return None


@pytest.mark.parametrize("name", ["manifest.json.sig", "signer.pub"])
def test_a_bundle_without_signature_is_refused(tmp_path: Path, name: str) -> None:
    directory = bundle(tmp_path / "b")
    (directory / name).unlink()
    assert f"{directory} is not signed: it has no {name}" in told(directory)


def test_an_altered_manifest_is_refused_before_it_is_read(tmp_path: Path) -> None:
    directory = bundle(tmp_path / "b")
    (directory / "manifest.json").write_text("[]")
    assert "the signature in manifest.json.sig does not fit manifest.json" in told(directory)


def test_a_bundle_signed_by_somebody_else_is_refused(tmp_path: Path) -> None:
    directory = bundle(tmp_path / "b", OTHER)
    refusal = told(directory, line(KEY))
    assert f"signed with the key {line(OTHER)}, not with the trusted key {line(KEY)}" in refusal
    assert "trusted: kdist_bundle_key" in refusal


def test_a_foreign_signature_under_the_trusted_keys_name_is_refused(tmp_path: Path) -> None:
    directory = bundle(tmp_path / "b", OTHER)
    (directory / "signer.pub").write_text(line(KEY))
    assert "does not fit" in told(directory, line(KEY))


def test_the_first_bundles_key_is_recorded_and_holds_for_the_next(tmp_path: Path) -> None:
    taken = intake.take(bundle(tmp_path / "b"), None, tmp_path)
    assert taken.first_key == line(KEY)
    trust.record(tmp_path, taken.first_key)
    assert intake.take(tmp_path / "b", None, tmp_path).first_key is None
    refusal = told(bundle(tmp_path / "b", OTHER))
    assert f"recorded in {tmp_path / trust.RECORD}; remove it to trust the next bundle" in refusal


def test_without_a_place_to_record_the_key_must_be_given(tmp_path: Path) -> None:
    bundle(tmp_path)
    assert "set kdist_bundle_key" in intake.take(tmp_path, None, None).faults[0]
    assert intake.take(tmp_path, line(KEY), None).faults == ()


def test_a_damaged_record_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / trust.RECORD).write_text("nonsense\n")
    assert "is no Ed25519 public key" in told(bundle(tmp_path / "b"))


def test_a_private_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep/key.pem"
    key, made = signature.ensure_key(path)
    again, made_again = signature.ensure_key(path)
    assert (made, made_again) == (True, False)
    assert key.private_bytes_raw() == again.private_bytes_raw()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("nothing")
    with pytest.raises(BundleError, match="holds no unencrypted private key"):
        signature.ensure_key(path)


def test_a_host_of_a_release_that_the_bundle_lacks_is_told_how_to_get_it(tmp_path: Path) -> None:
    taken = intake.take(bundle(tmp_path / "b"), line(KEY), tmp_path)
    assert taken.manifest
    observed = {
        "w1": {"os_id": "debian", "os_version": "13"},
        "w2": {"os_id": "debian", "os_version": "12"},
        "w3": {"os_id": "debian", "os_version": "11"},
        "w4": None,
    }
    assert [str(problem) for problem in intake.unserved(taken.manifest, observed)] == [
        "w1: runs trixie, and the bundle is for bookworm; kdist bundle build --suite bookworm,trixie"
    ]


def test_openssl_agrees_with_the_signature(tmp_path: Path) -> None:
    bundle(tmp_path)
    command = (
        "openssl pkeyutl -verify -pubin -inkey signer.pub -rawin -in manifest.json -sigfile manifest.json.sig"
    )
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Signature Verified Successfully", done.stderr
