"""The operator's lock as one control-plane host keeps it: a file, changed by one process at a time.

This file is sent to hosts and run there by whatever Python they have, before anything of kdist is installed: standard
library only. Its argument is a JSON request ``{"action": take|release|show, "record": {...}, "over": id}``; it prints
a JSON answer ``{"held": record or null, "taken": bool, "now": seconds}``. ``over`` is the id of a holder that may be
displaced, or ``*`` for any.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from typing import Any

DIRECTORY = "/var/lib/kdist"
FILE = "operator.lock"


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123
            found: dict[str, Any] = json.load(stream)
            return found
    except FileNotFoundError:
        return None
    except ValueError:  # a crash of the host while it was written
        return {"id": "?", "owner": "?", "host": "?", "command": "unreadable record", "since": 0, "pid": 0}


def _write(path: str, record: dict[str, Any]) -> None:
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as stream:  # noqa: PTH123
        json.dump(record, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)  # noqa: PTH105


def answer(request: dict[str, Any], directory: str, now: float) -> dict[str, Any]:
    """Do what is asked; ``held`` is who holds the lock afterwards."""
    if request["action"] != "take" and not os.path.isdir(directory):  # noqa: PTH112
        return {"held": None, "taken": False, "now": now}
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    path = os.path.join(directory, FILE)  # noqa: PTH118
    guard = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        held = _read(path)
        record = request.get("record") or {}
        mine = held is not None and held["id"] == record.get("id")
        if request["action"] == "take" and (mine or held is None or request.get("over") in ("*", held["id"])):
            held = {**record, "since": held["since"] if held is not None and mine else now}
            _write(path, held)
            return {"held": held, "taken": True, "now": now}
        if request["action"] == "release" and mine:
            os.unlink(path)  # noqa: PTH108
            held = None
            if not os.listdir(directory):  # noqa: PTH208
                os.rmdir(directory)  # noqa: PTH106  # a host without kdist stays as it was
        return {"held": held, "taken": False, "now": now}
    finally:
        os.close(guard)


if __name__ == "__main__":
    print(json.dumps(answer(json.loads(sys.argv[1]), DIRECTORY, time.time())))  # noqa: T201
