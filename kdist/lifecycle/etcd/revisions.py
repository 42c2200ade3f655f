"""Revisions of a restored database: raised far above everything that the lost history may have given away.

A client that saw revision 900 of a history which was lost after 800 would wait for 901 of the new one and miss what
happened between. So the database gets one more write, far above (as etcd's own later tools do it): whatever a client
remembers is then older than the restore, and once etcd has compacted up to there, it is told so (410 Gone) and reads
everything anew.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from kdist.lifecycle.etcd import protowire
from kdist.lifecycle.etcd.bolt import Database

# The step that etcd's documentation advises: more than a cluster writes in years.
BUMP = 1_000_000_000
KEYS = "key"  # the bucket of all revisions
NOTE = "kdist.io/restored/"  # outside of /registry/, where API servers look
_REVISION = struct.Struct(">QcQ")


def newest(database: Path) -> int:
    """The newest revision in a database file. BoltError."""
    return _main(Database(database).last(KEYS)[0])


def bump(database: Path, note: dict[str, object], by: int = BUMP) -> int:
    """Raise the revision of a database that nobody has open; ``note`` is kept as the value. The new one. BoltError."""
    file = Database(database)
    revision = _main(file.last(KEYS)[0]) + by
    key = f"{NOTE}{revision}".encode()
    value = protowire.encode({1: key, 2: revision, 3: revision, 4: 1, 5: json.dumps(note).encode()})
    file.append(KEYS, _REVISION.pack(revision, b"_", 0), value)
    return revision


def _main(key: bytes) -> int:
    return int(_REVISION.unpack(key[: _REVISION.size])[0])
