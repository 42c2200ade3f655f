"""One host's life, run as a detached process: ``python -m kdist.lab.supervisor HOST_DIR``.

It makes the host's network namespace, runs systemd-nspawn, and does so again when the host reboots. It
inherits a lock on ``supervisor.pid`` and holds it as long as it lives: that lock is what "this host is on"
means. SIGTERM is an orderly shutdown. The network namespace goes away with the host, so that a dead host does
not answer pings and nothing but its disk survives a reboot.

Kept free of heavy imports: three of these start at once, and each lives as long as its host.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# nspawn's own exit code when the payload asks for a reboot and nobody but the caller can do it.
REBOOT = 133
PID_FILE = "supervisor.pid"
PLAN_FILE = "boot.json"


class Supervisor:
    """Runs one host until it is switched off."""

    def __init__(self, directory: Path) -> None:
        self._plan: dict[str, Any] = json.loads((directory / PLAN_FILE).read_text())
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """Boot, and boot again after each reboot; the exit code of the last nspawn."""
        signal.signal(signal.SIGTERM, self._on_term)
        code = REBOOT
        while code == REBOOT and not self._stopping:
            self._network_up()
            self._nspawn = subprocess.Popen(
                self._plan["command"],
                env={**os.environ, **self._plan["environment"]},
                preexec_fn=self._enter_cgroups,
            )
            code = self._nspawn.wait()
            self._empty_cgroups()
            self._network_down()
        return code

    def _on_term(self, _signal: int, _frame: object) -> None:
        self._stopping = True
        if self._nspawn is not None:
            self._nspawn.terminate()

    def _network_up(self) -> None:
        self._network_down()
        netns = self._plan["netns"]
        _ip("netns", "add", netns)
        _ip("-n", self._plan["lab_netns"], "-batch", "-", lines=self._plan["lab_batch"])
        _ip("-n", netns, "-batch", "-", lines=self._plan["host_batch"])

    def _network_down(self) -> None:
        _ip("-n", self._plan["lab_netns"], "link", "del", self._plan["interface"], check=False)
        if Path("/run/netns", self._plan["netns"]).exists():
            _ip("netns", "del", self._plan["netns"], check=False)

    def _enter_cgroups(self) -> None:
        for cgroup in self._plan["cgroups"]:
            Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))

    def _empty_cgroups(self) -> None:
        """Remove the groups of the host's last boot; its processes died with its first one."""
        for cgroup in self._plan["cgroups"]:
            for path, _, _ in os.walk(cgroup, topdown=False):
                if path != cgroup:
                    _remove_group(Path(path))


def _remove_group(path: Path) -> None:
    for _ in range(20):
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # Busy: the last of its processes is dead but not reaped yet.
            time.sleep(0.02)
        else:
            return


def _ip(*arguments: str, lines: list[str] | None = None, check: bool = True) -> None:
    subprocess.run(
        ["ip", *arguments],
        input="".join(f"{line}\n" for line in lines).encode() if lines else None,
        stderr=None if check else subprocess.DEVNULL,
        check=check,
    )


def main() -> None:
    """Detach, write the process id and run the host of the directory named on the command line.

    The caller's child ends at once: the supervisor is nobody's to wait for. The console is standard error.
    """
    directory = Path(sys.argv[1])
    if pid := os.fork():
        (directory / PID_FILE).write_text(str(pid))
        os._exit(0)
    os.setsid()
    code = Supervisor(directory).run()
    sys.stderr.write(f"switched off (exit code {code})\n")


if __name__ == "__main__":
    main()
