"""Authorities that a cluster file names: read and judged on the operator's machine, all problems at once."""

import datetime
from pathlib import Path

from kdist.lifecycle.certificates import given
from kdist.lifecycle.spec import ClusterSettings
from kdist.pki import issue, plan

NOW = datetime.datetime.now(datetime.UTC)


def named(**files: str) -> ClusterSettings:
    return ClusterSettings(
        authorities={n: {"certificate": f"{f}.crt", "key": f"{f}.key"} for n, f in files.items()}
    )


def write(directory: Path, name: str, pair: issue.Pair) -> None:
    (directory / f"{name}.crt").write_bytes(pair.certificate)
    (directory / f"{name}.key").write_bytes(pair.key)


def test_fit_authorities_are_read(tmp_path: Path) -> None:
    mine = issue.create_authority(plan.CLUSTER_CA)
    write(tmp_path, "mine", mine)
    assert given.read(named(ca="mine"), tmp_path, NOW) == ({"ca": mine}, [])
    assert given.read(ClusterSettings(), tmp_path, NOW) == ({}, [])


def test_of_a_file_with_its_issuers_the_authority_is_read(tmp_path: Path) -> None:
    root = issue.create_authority(plan.CLUSTER_CA)
    mine = issue.create_intermediate(plan.CLUSTER_CA, root)
    write(tmp_path, "mine", issue.Pair(mine.certificate + root.certificate, mine.key))
    assert given.read(named(ca="mine"), tmp_path, NOW) == ({"ca": mine}, [])


def test_everything_wrong_is_told_at_once_by_name(tmp_path: Path) -> None:
    one, other = (issue.create_authority(plan.CLUSTER_CA) for _ in range(2))
    write(tmp_path, "mixed", issue.Pair(one.certificate, other.key))
    pairs, problems = given.read(named(ca="mixed", **{"etcd-ca": "nowhere"}), tmp_path, NOW)
    assert pairs == {}
    told = "\n".join(map(str, problems))
    assert "all: kdist_authorities: ca: certificate and key do not belong together" in told
    assert f"all: kdist_authorities: etcd-ca: {tmp_path}/nowhere.crt: No such file or directory" in told
    assert "PRIVATE" not in told
