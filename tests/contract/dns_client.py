"""A DNS question and its answer, over UDP, for tests: no resolver of the machine is in between."""

import ipaddress
import socket
import struct

TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
_NAMES = {number: name for name, number in TYPES.items()}
RCODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def _encode(name: str) -> bytes:
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels, end = [], 0
    while data[at]:
        if data[at] >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from(">H", data, at)[0] & 0x3FFF
            continue
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += data[at] + 1
    return ".".join(labels) + ".", end or at + 1


def _value(kind: str, data: bytes, at: int, length: int) -> str:
    if kind in ("A", "AAAA"):
        return str(ipaddress.ip_address(data[at : at + length]))
    if kind in ("CNAME", "PTR"):
        return _name(data, at)[0]
    if kind == "SRV":
        priority, weight, port = struct.unpack_from(">HHH", data, at)
        return f"{priority} {weight} {port} {_name(data, at + 6)[0]}"
    return data[at : at + length].hex()


def ask(name: str, kind: str, server: tuple[str, int]) -> tuple[str, set[str]]:
    """(response code, {"TYPE value", ...}) of the answer section."""
    query = (
        struct.pack(">HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + _encode(name) + struct.pack(">HH", TYPES[kind], 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.sendto(query, server)
        data = client.recv(4096)
    _, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", data)
    at, found = _name(data, 12)[1] + 4, set()
    for _ in range(answers):
        _, at = _name(data, at)
        number, _, _, length = struct.unpack_from(">HHIH", data, at)
        at += 10
        kind_found = _NAMES.get(number, str(number))
        found.add(f"{kind_found} {_value(kind_found, data, at, length)}")
        at += length
    return RCODES.get(flags & 15, str(flags & 15)), found
