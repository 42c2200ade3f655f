"""The little of protocol buffers that etcd's files need: varints and length-delimited fields. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number and where the next thing begins. IndexError when the data ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def encode(fields: Mapping[int, int | bytes]) -> bytes:
    """A message of numbers and byte strings; zeros are written too, as etcd's generated code does."""
    out = bytearray()
    for number, value in fields.items():
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def decode(data: bytes | memoryview) -> dict[int, int | bytes]:
    """The fields of a message; of a repeated field the last. ValueError for what etcd does not write."""
    found: dict[int, int | bytes] = {}
    at = 0
    try:
        while at < len(data):
            tag, at = read_varint(data, at)
            kind = tag & 7
            if kind == 0:
                found[tag >> 3], at = read_varint(data, at)
            elif kind == 2:
                size, at = read_varint(data, at)
                if at + size > len(data):
                    raise ValueError("a field is longer than its message")
                found[tag >> 3] = bytes(data[at : at + size])
                at += size
            else:
                raise ValueError(f"wire type {kind}")
    except IndexError:
        raise ValueError("the message ends within a number") from None
    return found
