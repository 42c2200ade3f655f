"""Lists put together from compressed runs are ordinary gzip, whatever changed in between."""

from __future__ import annotations

import gzip
import zlib

import pytest

from kdist.apiserver.packing import KEPT_LIMIT, Packer
from kdist.storage.watchcache import Entry

HEAD, TAIL = b'{"items":[', b"]}\n"


def entry(number: int, revision: int = 1, size: int = 100) -> Entry:
    body = b'{"n":%d,"r":%d,"x":"%b"}' % (number, revision, b"x" * size)
    return Entry(f"/registry/pods/ns/{number:05}", body, revision, {}, {})


def plain(entries: list[Entry]) -> bytes:
    return HEAD + b",".join(e.body for e in entries) + TAIL


def packer(kept_limit: int = KEPT_LIMIT) -> Packer:
    return Packer(bytes, b",", kept_limit=kept_limit)


def pack(made: Packer, entries: list[Entry]) -> tuple[bytes, int]:
    """The packed list, and how many pieces were new."""
    pieces = list(made.pack(HEAD, entries, TAIL))
    return b"".join(piece for piece, _ in pieces), sum(new for _, new in pieces)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 1000])
def test_a_packed_list_is_one_gzip_member_with_a_right_checksum(count: int) -> None:
    entries = [entry(n) for n in range(count)]
    packed, _ = pack(packer(), entries)
    inflater = zlib.decompressobj(31)  # like many clients, it stops at the end of the first member
    assert inflater.decompress(packed) == plain(entries)
    assert inflater.eof and not inflater.unused_data


def test_what_did_not_change_is_not_compressed_again() -> None:
    made, entries = packer(), [entry(n) for n in range(1000)]
    _, new = pack(made, entries)
    assert new > 5
    assert pack(made, entries) == (pack(packer(), entries)[0], 0)
    entries[500] = entry(500, revision=7)
    packed, new = pack(made, entries)
    assert (gzip.decompress(packed), new) == (plain(entries), 1)


def test_an_object_that_comes_or_goes_changes_at_most_two_runs() -> None:
    made, entries = packer(), [entry(n) for n in range(1000)]
    pack(made, entries)
    del entries[300]
    packed, new = pack(made, entries)
    assert gzip.decompress(packed) == plain(entries)
    assert 1 <= new <= 2


def test_a_head_longer_than_a_stored_block_is_cut() -> None:
    long = b"h" * 200_000
    pieces = packer().pack(long, [entry(1)], TAIL)
    assert gzip.decompress(b"".join(piece for piece, _ in pieces)) == long + entry(1).body + TAIL


def test_kept_runs_are_bounded() -> None:
    made, entries = packer(kept_limit=500), [entry(n) for n in range(1000)]
    pack(made, entries)
    assert made.kept_bytes <= 500
    assert gzip.decompress(pack(made, entries)[0]) == plain(entries)
