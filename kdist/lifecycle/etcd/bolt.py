"""etcd's database file, of a member that does not run: the last entry of a bucket, and one more behind it.

Enough of bbolt's format (version 2) for what a restore needs, the revision bump of :mod:`revisions`; all the rest is
etcd's. A file is pages of one size; a bucket is a tree of branch and leaf pages whose last entry lies at the right
edge. One more entry becomes a new copy of that leaf behind the last page in use, and its parent is pointed to it;
etcd takes the old leaf for free space. A crash on the way ruins the file: work on one that may be made anew.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META = 0x01, 0x02, 0x04
_PAGE = struct.Struct("<QHHI")  # id, flags, count, pages that follow
_META = struct.Struct(
    "<IIIIQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, pages, transaction
_BRANCH = struct.Struct("<IIQ")  # offset of the key from here, its size, page
_LEAF = struct.Struct("<IIII")  # flags, offset of the key from here, its size, the value's
_BUCKET = struct.Struct("<QQ")  # root page (0: the page follows), sequence
_CHECKSUM = struct.Struct("<Q")


class BoltError(Exception):
    """A file that is no database, or is damaged."""


@dataclass(frozen=True, slots=True)
class _Entry:
    flags: int
    key: bytes
    value: bytes


class Database:
    """A database file that nobody else has open."""

    def __init__(self, path: Path) -> None:
        """Look at its head. BoltError."""
        self._path = path
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _PAGE.size + _META.size:
                raise BoltError(f"{path} is no database: too short")
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._size = int(_META.unpack_from(self._data, _PAGE.size)[2])
        self._meta = max(self._metas(), key=lambda meta: meta[8])

    def last(self, bucket: str) -> tuple[bytes, bytes]:
        """The last entry of a bucket. BoltError when there is none."""
        entries = self._entries(self._edge(bucket)[0])
        if not entries:
            raise BoltError(f"{self._path}: bucket {bucket} is empty")
        return entries[-1].key, entries[-1].value

    def entries(self, bucket: str) -> list[tuple[bytes, bytes]]:
        """Every entry of a bucket, in order. BoltError."""
        root, _ = self._root(bucket)
        return [(entry.key, entry.value) for entry in self._below(root)]

    def append(self, bucket: str, key: bytes, value: bytes) -> None:
        """Add an entry behind the last one, and write the file. ``key`` must be greater than every other."""
        leaf, pointer = self._edge(bucket)
        entries = self._entries(leaf)
        if entries and entries[-1].key >= key:
            raise BoltError(f"{self._path}: bucket {bucket} has entries behind the new one")
        page = self._meta[7]
        content = _leaf(page, [*entries, _Entry(0, key, value)], self._size)
        changes = [(page * self._size, content), (pointer, struct.pack("<Q", page))]
        changes += self._heads(page + len(content) // self._size)
        with self._path.open("r+b") as file:
            for offset, new in changes:
                os.pwrite(file.fileno(), new, offset)
            os.fsync(file.fileno())

    def _metas(self) -> list[tuple[int, ...]]:
        found = []
        for number in (0, 1):
            at = number * self._size + _PAGE.size
            if at + _META.size + _CHECKSUM.size > len(self._data):
                continue
            meta = _META.unpack_from(self._data, at)
            (checksum,) = _CHECKSUM.unpack_from(self._data, at + _META.size)
            if meta[:2] == (MAGIC, VERSION) and checksum == _fnv(self._data[at : at + _META.size]):
                found.append(meta)
        if not found:
            raise BoltError(f"{self._path} is no database of bbolt, or its head is damaged")
        return found

    def _heads(self, pages: int) -> list[tuple[int, bytes]]:
        """Both heads with that many pages in use, so that no reader falls back to the state before."""
        found = []
        for number in (0, 1):
            transaction = self._meta[8] + 2 + (self._meta[8] + number) % 2
            meta = _META.pack(*self._meta[:7], pages, transaction)
            content = _PAGE.pack(number, META, 0, 0) + meta + _CHECKSUM.pack(_fnv(meta))
            found.append((number * self._size, content))
        return found

    def _edge(self, bucket: str) -> tuple[int, int]:
        """Offset of the last leaf of a bucket, and of the page number that leads to it."""
        leaf, pointer = self._root(bucket)
        while self._flags(leaf) & BRANCH:
            leaf, pointer = self._child(leaf, None)
        return leaf, pointer

    def _root(self, bucket: str) -> tuple[int, int]:
        """Offset of a bucket's first page, and of the page number that leads to it."""
        at = self._meta[4] * self._size
        while self._flags(at) & BRANCH:  # the tree of buckets
            at = self._child(at, bucket.encode())[0]
        pointer = self._bucket(at, bucket)
        (root,) = struct.unpack_from("<Q", self._data, pointer)
        return (
            root * self._size if root else pointer + _BUCKET.size
        ), pointer  # a tiny one lies in its parent

    def _below(self, at: int) -> list[_Entry]:
        if not self._flags(at) & BRANCH:
            return self._entries(at)
        found = []
        for index in range(_PAGE.unpack_from(self._data, at)[2]):
            page = _BRANCH.unpack_from(self._data, at + _PAGE.size + index * _BRANCH.size)[2]
            found += self._below(page * self._size)
        return found

    def _flags(self, at: int) -> int:
        if at + _PAGE.size > len(self._data):
            raise BoltError(f"{self._path}: a page lies behind the end of the file")
        flags = int(_PAGE.unpack_from(self._data, at)[1])
        if not flags & (BRANCH | LEAF):
            raise BoltError(f"{self._path}: byte {at} is no page of a tree")
        return flags

    def _child(self, at: int, key: bytes | None) -> tuple[int, int]:
        """The child of a branch that may hold ``key``, None: the last; and where its number stands."""
        count = _PAGE.unpack_from(self._data, at)[2]
        chosen = at + _PAGE.size + (count - 1) * _BRANCH.size
        if key is not None:
            for index in range(1, count):
                element = at + _PAGE.size + index * _BRANCH.size
                offset, size, _ = _BRANCH.unpack_from(self._data, element)
                if self._data[element + offset : element + offset + size] > key:
                    chosen = element - _BRANCH.size
                    break
        page = _BRANCH.unpack_from(self._data, chosen)[2]
        return page * self._size, chosen + 8

    def _bucket(self, leaf: int, name: str) -> int:
        """Offset of a bucket's head in the leaf that names it."""
        for index in range(_PAGE.unpack_from(self._data, leaf)[2]):
            element = leaf + _PAGE.size + index * _LEAF.size
            _, offset, key_size, _ = _LEAF.unpack_from(self._data, element)
            if self._data[element + offset : element + offset + key_size] == name.encode():
                return int(element + offset + key_size)
        raise BoltError(f"{self._path} has no bucket {name}")

    def _entries(self, leaf: int) -> list[_Entry]:
        found = []
        for index in range(_PAGE.unpack_from(self._data, leaf)[2]):
            element = leaf + _PAGE.size + index * _LEAF.size
            flags, offset, key_size, value_size = _LEAF.unpack_from(self._data, element)
            key = element + offset
            value = key + key_size
            found.append(
                _Entry(flags, bytes(self._data[key:value]), bytes(self._data[value : value + value_size]))
            )
        return found


def _leaf(page: int, entries: list[_Entry], size: int) -> bytes:
    """A leaf with these entries, as many pages as it takes."""
    head, body = bytearray(), bytearray()
    table = len(entries) * _LEAF.size
    for index, entry in enumerate(entries):
        offset = table - index * _LEAF.size + len(body)
        head += _LEAF.pack(entry.flags, offset, len(entry.key), len(entry.value))
        body += entry.key + entry.value
    length = _PAGE.size + len(head) + len(body)
    pages = -(-length // size)
    content = _PAGE.pack(page, LEAF, len(entries), pages - 1) + head + body
    return bytes(content) + bytes(pages * size - length)


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
