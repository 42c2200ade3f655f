"""What modules that run on a host share: the way to the installed release, and atomic files noted in the ledger."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from ansible.module_utils.kdist_ledger import Ledger

RELEASE = Path("/opt/kdist/current")


def use_release(release: Path = RELEASE) -> None:
    """Make the host's installed kdist importable. FileNotFoundError when no release is installed."""
    library = release / "lib"
    if not library.is_dir():
        raise FileNotFoundError(f"{library} does not exist: install the release first (tag release)")
    if str(library) not in sys.path:
        sys.path.insert(0, str(library))


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place atomically, parents included; what was there before is noted in the host's ledger."""
    Ledger().file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
