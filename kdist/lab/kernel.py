"""Kernel settings of the machine that its labs share, because hosts without a kernel of their own cannot set them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

PROC_SYS = Path("/proc/sys")
# systemd, containerd and the agent of a host hold about ten instances, all counted for the machine's root. Linux allows
# 128: what comes after some twelve hosts fails with "too many open files".
NEEDED = {"fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}


def make_room(report: Callable[[str], None], proc_sys: Path = PROC_SYS) -> None:
    """Raise the machine's limits to what many hosts need; one that cannot be raised is reported with its cure."""
    for name, needed in NEEDED.items():
        file = proc_sys / name.replace(".", "/")
        try:
            if int(file.read_text()) < needed:
                file.write_text(f"{needed}\n")
        except OSError as error:
            report(
                f"cannot raise {name} to {needed} ({error.strerror}): beyond about ten hosts agents may fail with"
                f" 'too many open files'; where the machine's kernel may be set: sysctl -w {name}={needed}"
            )
