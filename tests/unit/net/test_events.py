import struct
from pathlib import Path

from kdist.net import events, sysctl


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link(index: int) -> bytes:
    return message(16, struct.pack("=BxHiII", 0, 1, index, 0, 0))


def route(protocol: int) -> bytes:
    return message(25, bytes([2, 24, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0]))


def test_only_our_routes_and_interfaces_concern_us() -> None:
    ours = frozenset([2, 7])
    assert events.concerns(link(5) + link(7), ours)
    assert not events.concerns(link(5), ours)
    assert events.concerns(route(events.ROUTE_PROTOCOL), ours)
    assert not events.concerns(route(3), ours)


def test_settings_that_cannot_be_set_are_told_and_the_others_are_set(tmp_path: Path) -> None:
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").write_text("0\n")
    failed = sysctl.ensure({"net.ipv4.ip_forward": "1", "net.bridge.missing": "1"}, tmp_path)
    assert (tmp_path / "net/ipv4/ip_forward").read_text() == "1"
    assert list(failed) == ["net.bridge.missing"]
