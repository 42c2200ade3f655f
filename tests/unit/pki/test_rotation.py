"""Exchanging an authority: three phases, each finished by itself after an interruption at any write."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdist.pki import files, issue, plan, rotation
from kdist.pki.rotation import AFTER, Exchange, OutOfOrder, Phase, State

CLUSTER = plan.Cluster("test", "10.96.0.0/16", "cluster.local", ("10.0.0.1",))
HOST = plan.Host("cp1", "10.0.0.1", control_plane=True)


@pytest.fixture
def host(tmp_path: Path) -> files.HostFiles:
    files.provision(tmp_path, CLUSTER, HOST)
    return files.HostFiles(tmp_path)


@pytest.mark.parametrize("name", rotation.NAMES)
def test_three_phases_lead_to_another_one(host: files.HostFiles, name: str) -> None:
    exchange = Exchange(host, name)
    (old,) = exchange.trusted()
    assert exchange.advance(Phase.TRUST)
    first, new = exchange.trusted()
    assert (first, exchange.state()) == (old, State.TRUSTED)
    assert exchange.advance(Phase.ISSUE)
    assert (exchange.trusted(), exchange.state()) == ([new, old], State.ISSUED)
    assert exchange.advance(Phase.DROP)
    assert (exchange.trusted(), exchange.state()) == ([new], State.STABLE)


def test_a_phase_taken_twice_is_taken_once_and_none_is_left_out(host: files.HostFiles) -> None:
    exchange = Exchange(host, "ca")
    with pytest.raises(OutOfOrder, match="next is trust"):
        exchange.advance(Phase.ISSUE)
    assert not exchange.advance(Phase.DROP)
    exchange.advance(Phase.TRUST)
    assert not exchange.advance(Phase.TRUST)
    exchange.advance(Phase.ISSUE)
    assert not exchange.advance(Phase.ISSUE)
    with pytest.raises(OutOfOrder, match="next is drop"):
        exchange.advance(Phase.TRUST)


class Interrupted(Exception):
    pass


def interruptions(monkeypatch: pytest.MonkeyPatch, exchange: Exchange, phase: Phase) -> Iterator[int]:
    """Take the phase, interrupted after 0, 1, 2... of its changes, until it goes through."""
    writing, unlinking = files.write, Path.unlink
    for allowed in range(10):
        left = allowed

        def counted(*arguments, real=writing, **more):  # type: ignore[no-untyped-def]
            nonlocal left
            if not left:
                raise Interrupted
            left -= 1
            return real(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(rotation, "write", counted)
            patch.setattr(Path, "unlink", lambda self: counted(self, real=unlinking))
            try:
                exchange.advance(phase)
            except Interrupted:
                yield allowed
            else:
                return


@pytest.mark.parametrize("name", rotation.NAMES)
@pytest.mark.parametrize("phase", list(Phase))
def test_an_interrupted_phase_is_finished_by_itself(
    host: files.HostFiles, name: str, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange(host, name)
    for earlier in list(Phase)[: list(Phase).index(phase)]:
        exchange.advance(earlier)
    (before, *_) = exchange.trusted()
    interrupted = list(interruptions(monkeypatch, exchange, phase))
    assert interrupted, "a phase changes something"
    assert exchange.state() is AFTER[phase]
    assert len(exchange.trusted()) == (1 if phase is Phase.DROP else 2)
    assert (exchange.trusted()[0] == before) is (phase is not Phase.ISSUE)


def test_leaves_and_kubeconfigs_follow_every_phase(host: files.HostFiles, tmp_path: Path) -> None:
    exchange = Exchange(host, "front-proxy-ca")
    exchange.advance(Phase.TRUST)
    assert files.provision(tmp_path, CLUSTER, HOST) == []  # the old one signs, so leaves serve
    exchange.advance(Phase.ISSUE)
    assert files.provision(tmp_path, CLUSTER, HOST) == ["front-proxy-client"]
    exchange.advance(Phase.DROP)
    assert files.provision(tmp_path, CLUSTER, HOST) == []
    cluster = Exchange(host, "ca")
    cluster.advance(Phase.TRUST)
    changed = files.provision(tmp_path, CLUSTER, HOST)  # kubeconfigs carry the bundle
    assert {"admin", "scheduler"} <= set(changed)
    assert "apiserver" not in changed


def test_an_authority_of_ones_own_is_taken(host: files.HostFiles) -> None:
    mine = issue.create_authority(plan.ETCD_CA)
    exchange = Exchange(host, "etcd-ca")
    exchange.advance(Phase.TRUST, lambda _: mine)
    assert exchange.trusted()[1] == mine.certificate


def test_a_token_key_is_dropped_only_after_its_tokens(host: files.HostFiles) -> None:
    exchange = Exchange(host, rotation.TOKENS)
    day = datetime.timedelta(hours=24)
    exchange.advance(Phase.TRUST)
    assert rotation.too_early(exchange, day) is None
    exchange.advance(Phase.ISSUE)
    now = exchange.rotated_at()
    assert "another 23 h" in str(rotation.too_early(exchange, day, now + 3600))
    assert rotation.too_early(exchange, day, now + 24 * 3600) is None
