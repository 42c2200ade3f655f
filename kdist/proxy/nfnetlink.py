"""The kernel's netfilter netlink protocol, as much of it as the proxy uses: requests, dumps, attributes.

A small codec instead of a general netlink library, which would cost a third of the proxy's memory.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_NETFILTER = 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
_NESTED = 0x8000
_ERROR, _DONE = 0x2, 0x3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_BYTES = 1 << 18

Attributes = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """One answer: its type and its attributes' payloads."""

    type: int
    attributes: Attributes


def attribute(kind: int, payload: bytes, *, nested: bool = False) -> bytes:
    """An encoded attribute, padded."""
    head = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind | (_NESTED if nested else 0))
    return head + payload + bytes(-len(payload) % 4)


def attributes(data: bytes) -> Attributes:
    """The attributes in ``data``, by type; of several of one type the last."""
    found, offset = {}, 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


class NetfilterSocket:
    """A netlink socket to netfilter. Calls block, for as long as the kernel needs.

    Keep it: when one is closed, the kernel waits for all readers of its rules (milliseconds).
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, type: int, flags: int, address_family: int, payload: bytes = b"") -> Iterator[Message]:
        """Send a request and yield its answers. OSError with the kernel's errno when it is refused."""
        self._sequence += 1
        body = struct.pack(">BBH", address_family, 0, 0) + payload
        header = _HEADER.pack(_HEADER.size + len(body), type, flags | REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            yield from (answers := _Answers(self._socket.recv(_RECEIVE_BYTES), self._sequence))
            if answers.complete or not flags & (DUMP | ACK):
                return


class _Answers:
    """The messages of one datagram that answer request ``sequence``."""

    def __init__(self, data: bytes, sequence: int) -> None:
        self._data, self._sequence = data, sequence
        self.complete = False

    def __iter__(self) -> Iterator[Message]:
        offset = 0
        while offset + _HEADER.size <= len(self._data):
            length, type, _, sequence, _ = _HEADER.unpack_from(self._data, offset)
            body = self._data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3
            if sequence != self._sequence:
                continue
            if type in (_ERROR, _DONE):
                self.complete = True
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if code:
                    raise OSError(code, os.strerror(code))
                return
            yield Message(type, attributes(body[4:]))
