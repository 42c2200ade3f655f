"""Announcements byte by byte: a neighbour that does not understand one keeps sending to a dead host."""

from __future__ import annotations

import ipaddress

from kdist.vip.announce import frame

MAC = bytes.fromhex("0a0b0c0d0e0f")


def test_an_ipv4_address_is_announced_by_a_broadcast_arp_request_for_itself() -> None:
    sent = frame(ipaddress.ip_address("10.0.0.9"), MAC)
    address = bytes((10, 0, 0, 9))
    assert sent[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert sent[14:22] == bytes.fromhex("0001080006040001")
    assert sent[22:] == MAC + address + bytes(6) + address


def test_an_ipv6_address_is_advertised_to_all_nodes_with_override_and_hop_limit_255() -> None:
    address = ipaddress.IPv6Address("fd00::9")
    sent = frame(address, MAC)
    assert sent[:14] == bytes.fromhex("333300000001") + MAC + b"\x86\xdd"
    ip, icmp = sent[14:54], sent[54:]
    assert ip[6:8] == bytes((58, 255))
    assert ip[8:24] == address.packed
    assert ip[24:40] == ipaddress.IPv6Address("ff02::1").packed
    assert icmp[0] == 136
    assert icmp[4] == 0x20
    assert icmp[8:24] == address.packed
    assert icmp[24:] == b"\x02\x01" + MAC


def test_the_checksum_of_an_advertisement_adds_up() -> None:
    sent = frame(ipaddress.IPv6Address("2001:db8::1"), MAC)
    pseudo = sent[22:54] + len(sent[54:]).to_bytes(4) + (58).to_bytes(4)
    words = pseudo + sent[54:]
    total = sum(int.from_bytes(words[i : i + 2]) for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
