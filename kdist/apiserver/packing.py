"""Lists as one gzip stream put together from pieces that are compressed once.

A deflate stream may be cut at any byte-aligned point after a full flush: what follows does not look back. So runs
of neighbouring objects are compressed by themselves and kept; a list is its head, its runs and its end, with the
checksum of the whole computed from those of the parts. An object that changes costs the compression of its run,
a list of thousands of unchanged objects costs copying a fortieth of its size. The result is one ordinary gzip
member: several in a row would be simpler, but browsers and some client libraries read only the first.

Where a run ends depends on the keys of the objects alone, so that a new or deleted object changes one run.
Collaborators: :mod:`kdist.apiserver.answers` sends, :class:`kdist.apiserver.store.Store` keeps a packer.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from isal import isal_zlib

from kdist.storage.watchcache import Entry

LEVEL = 2  # of ISA-L: smaller and as fast as its level 1 on lists of objects
RUN_MASK = 0x3F  # a run ends, on average, after as many objects
RUN_LIMIT = 512 * 1024  # bytes: a longer run would hold up other requests when it is compressed
KEPT_LIMIT = 16 * 1024 * 1024  # bytes of compressed runs that one resource may keep

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown system
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"  # empty, stored, final
_STORED_LIMIT = 0xFFFF  # bytes in a block that is not compressed
_RAW = -15  # deflate without header and checksum, largest window


def compressor() -> isal_zlib.Compress:
    """For a whole gzip member of data that is not kept; lets go of the interpreter lock."""
    return isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, 31)


@dataclass(frozen=True, slots=True)
class _Run:
    """Compressed neighbours: what they were, as what they go out, and their part of the checksum."""

    revisions: tuple[int, ...]
    deflated: bytes
    checksum: int
    length: int
    shift: int  # what the checksum of everything before is multiplied by


class _Stream:
    """A gzip member in the making: its checksum and length so far."""

    def __init__(self) -> None:
        self._checksum, self._length = 0, 0

    def literal(self, data: bytes) -> bytes:
        """Bytes that are not worth compressing."""
        self._checksum = zlib.crc32(data, self._checksum)
        self._length += len(data)
        return b"".join(_stored(data[at : at + _STORED_LIMIT]) for at in range(0, len(data), _STORED_LIMIT))

    def run(self, run: _Run) -> bytes:
        """A compressed run."""
        self._checksum = _multiply(run.shift, self._checksum) ^ run.checksum
        self._length += run.length
        return run.deflated

    def end(self) -> bytes:
        """The trailer."""
        length = self._length & 0xFFFFFFFF
        return _LAST_BLOCK + self._checksum.to_bytes(4, "little") + length.to_bytes(4, "little")


class Packer:
    """The compressed runs of one resource, whose objects go out as they are stored."""

    def __init__(
        self, item: Callable[[bytes], bytes | memoryview], between: bytes, *, kept_limit: int = KEPT_LIMIT
    ) -> None:
        """``item`` makes a cached body the piece of a list, ``between`` stands between the pieces."""
        self._item, self._between, self._limit = item, between, kept_limit
        self._kept: OrderedDict[tuple[str, str], _Run] = OrderedDict()
        self._size = 0

    @property
    def kept_bytes(self) -> int:
        """The size of the compressed runs that are kept."""
        return self._size

    def pack(self, head: bytes, entries: Sequence[Entry], tail: bytes) -> Iterator[tuple[bytes, bool]]:
        """The pieces of the gzip member, and of each whether it had to be compressed now."""
        stream = _Stream()
        yield _HEADER + stream.literal(head), False
        between = b""
        for first, last in _runs(entries):
            run, known = self._run(entries[first:last])
            yield (stream.literal(between) if between else b"") + stream.run(run), not known
            between = self._between
        yield stream.literal(tail) + stream.end(), False

    def _run(self, entries: Sequence[Entry]) -> tuple[_Run, bool]:
        key = (entries[0].key, entries[-1].key)
        revisions = tuple([entry.revision for entry in entries])
        run = self._kept.get(key)
        if run is not None and run.revisions == revisions:
            self._kept.move_to_end(key)
            return run, True
        run = _packed(revisions, self._between.join([self._item(entry.body) for entry in entries]))
        self._keep(key, run)
        return run, False

    def _keep(self, key: tuple[str, str], run: _Run) -> None:
        before = self._kept.pop(key, None)
        self._size += len(run.deflated) - (len(before.deflated) if before else 0)
        self._kept[key] = run
        while self._size > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.deflated)


def _runs(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Where runs begin and end."""
    first = size = 0
    for at, entry in enumerate(entries, 1):
        size += len(entry.body)
        if not hash(entry.key) & RUN_MASK or size > RUN_LIMIT:
            yield first, at
            first, size = at, 0
    if first < len(entries):
        yield first, len(entries)


def _packed(revisions: tuple[int, ...], data: bytes) -> _Run:
    compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _RAW)
    deflated = compressor.compress(data) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return _Run(revisions, deflated, isal_zlib.crc32(data), len(data), _shift(len(data)))


def _stored(data: bytes) -> bytes:
    """A deflate block of bytes as they are; only at a byte-aligned point of the stream."""
    length = len(data)
    return b"\x00%b%b%b" % (length.to_bytes(2, "little"), (length ^ 0xFFFF).to_bytes(2, "little"), data)


# ----- CRC-32 of joined data: arithmetic of polynomials over GF(2) modulo the CRC's own, bits reversed

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def _multiply(a: int, b: int) -> int:
    product, bit = 0, _ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


def _powers() -> list[int]:
    """x to the 8, 16, 32, ...: shifts by 1, 2, 4, ... bytes."""
    powers = [_ONE >> 8]
    for _ in range(40):
        powers.append(_multiply(powers[-1], powers[-1]))
    return powers


_POWERS = _powers()


def _shift(length: int) -> int:
    """What a checksum is multiplied by when ``length`` bytes follow."""
    shift = _ONE
    for bit, power in enumerate(_POWERS):
        if length >> bit & 1:
            shift = _multiply(power, shift)
    return shift
