"""etcd's write-ahead log, read from the files of a member that does not run; and one thing written to it.

``--force-new-cluster`` drops what a member has in its log without knowing that it was committed. A write that the lost
majority acknowledged a moment before may be among that. :func:`commit_all` marks the whole log as committed first, so
that everything which reached this member survives. A write nobody acknowledged may survive with it, which is what a
client without an answer has to expect anyway.

Format (etcd 3.4 to 3.6): segments ``SEQUENCE-INDEX.wal`` of records, each a little-endian length (its top byte tells
the padding to eight bytes) and a message of type, checksum and data; a checksum covers all since the first segment.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdist.lifecycle.etcd import protowire

ENTRY, STATE, CHECKSUM = 2, 3, 4
# Records at the end of a segment whose checksum is looked at: more than a member writes in one go.
NEWEST = 64
_LENGTH = struct.Struct("<Q")


class WalError(Exception):
    """A log that is not as etcd writes it; the text names the file."""


@dataclass(frozen=True, slots=True)
class Log:
    """The end of a log. Entries after ``commit`` were never known here to be committed."""

    segment: Path
    end: int
    """Offset behind the last whole record."""
    checksum: int
    last: int
    last_term: int
    commit: int
    term: int
    vote: int

    @property
    def uncommitted(self) -> int:
        """How many entries are in the log and were not known to be committed."""
        return max(self.last - self.commit, 0)


@dataclass(frozen=True, slots=True)
class _Record:
    type: int
    checksum: int
    data: bytes
    end: int


def read(member: Path) -> Log:
    """The end of the log below a member's directory. WalError."""
    segments = sorted((member / "wal").glob("*.wal"))
    if not segments:
        raise WalError(f"{member / 'wal'} holds no log")
    last = last_term = commit = term = vote = checksum = end = 0
    for segment in segments:
        end = 0
        for record in _whole(list(_records(segment)), checksum):
            checksum, end = record.checksum, record.end
            if record.type == ENTRY:
                entry = _fields(segment, record)
                last, last_term = _number(entry, 3), _number(entry, 2)
            elif record.type == STATE:
                state = _fields(segment, record)
                term, vote, commit = (_number(state, field) for field in (1, 2, 3))
    return Log(segments[-1], end, checksum, last, last_term, commit, term, vote)


def commit_all(log: Log) -> None:
    """Mark every entry of a log as committed. The member must not run."""
    data = protowire.encode({1: log.term, 2: log.vote, 3: log.last})
    record = protowire.encode({1: STATE, 2: crc32c(log.checksum, data), 3: data})
    padding = -len(record) % 8
    length = len(record) | ((0x80 | padding) << 56 if padding else 0)
    with log.segment.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.truncate(log.end)  # whatever a crash left behind the last whole record
        file.seek(log.end)
        file.write(_LENGTH.pack(length) + record + bytes(padding))
        file.truncate(max(size, file.tell()))  # zeros up to the size that etcd prepared
        file.flush()
        os.fsync(file.fileno())


def _records(segment: Path) -> Iterator[_Record]:
    """The records of a segment up to its end, or up to the first that was cut off."""
    with segment.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = 0
        while at + _LENGTH.size <= len(content):
            (length,) = _LENGTH.unpack_from(content, at)
            if length == 0:
                return
            size, padding = length & (1 << 56) - 1, length >> 56 & 0x7
            begin = at + _LENGTH.size
            at = begin + size + padding
            if at > len(content):
                return
            try:
                fields = protowire.decode(content[begin : begin + size])
            except ValueError:
                return
            data = fields.get(3, b"")
            yield _Record(
                _number(fields, 1), _number(fields, 2), data if isinstance(data, bytes) else b"", at
            )


def _whole(records: list[_Record], before: int) -> list[_Record]:
    """The records without those that a crash damaged: only the newest can be, so only they are looked at."""
    for index in range(max(len(records) - NEWEST, 0), len(records)):
        record = records[index]
        previous = records[index - 1].checksum if index else before
        if record.type != CHECKSUM and crc32c(previous, record.data) != record.checksum:
            return records[:index]
    return records


def _fields(segment: Path, record: _Record) -> dict[int, int | bytes]:
    try:
        return protowire.decode(record.data)
    except ValueError as error:
        raise WalError(f"{segment}: the record before byte {record.end} is damaged: {error}") from error


def _number(fields: dict[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    return value if isinstance(value, int) else 0


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CASTAGNOLI = _table()


def crc32c(before: int, data: bytes) -> int:
    """The checksum of ``data`` after what gave ``before`` (RFC 3720, appendix B.4)."""
    value = before ^ 0xFFFFFFFF
    for byte in data:
        value = _CASTAGNOLI[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF
