"""Several processes on one port: each is a whole API server with its own caches.

The parent binds the port, forks the workers and starts again what dies. It loads nothing itself: threads of a
library do not survive a fork. Workers share nothing but storage, so storage must not be memory and keys must
come from files. One worker is the default: every further one follows all of storage again (15 to 40% more CPU per
write, the whole memory once more), which pays only where cores would be idle (docs/benchmarks.md).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from types import FrameType

from kdist.apiserver import peers
from kdist.apiserver.audit import policy
from kdist.apiserver.server import bind
from kdist.config.apiserver import ApiServerSettings
from kdist.telemetry import log

_log = log.get(__name__)
RESTART_SECONDS = 1.0  # a worker that dies at once is not started faster than this

# Serves on the socket until told to stop; returns the exit code.
Work = Callable[[socket.socket], None]


def check(settings: ApiServerSettings) -> None:
    """ValueError when these settings cannot be shared by several processes."""
    if settings.storage == "memory":
        raise ValueError("--workers needs a storage that processes share: not memory")
    if settings.tls_cert_file is None or settings.service_account_signing_key_file is None:
        raise ValueError("--workers needs --tls-cert-file and --service-account-signing-key-file")
    if settings.audit_policy_file is not None:
        policy.load(settings.audit_policy_file)  # once and here, not in every worker for ever


class Supervisor:
    """The parent process."""

    def __init__(self, settings: ApiServerSettings, work: Work) -> None:
        check(settings)
        self._settings, self._work = settings, work
        self._listener = bind(settings.bind_address, settings.secure_port)
        self._children: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """Keep the workers running until a signal; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        directory, parent = tempfile.mkdtemp(prefix="kdist-apiserver-"), os.getpid()
        os.environ[peers.DIRECTORY] = directory
        try:
            return self._supervise()
        finally:
            if os.getpid() == parent:  # a worker that fails comes by here, too
                shutil.rmtree(directory, ignore_errors=True)

    def _supervise(self) -> int:
        for _ in range(self._settings.workers):
            self._fork()
        while self._children:
            pid, status = os.wait()
            self._children.discard(pid)
            if not self._stopping:
                _log.error("a worker ended", pid=pid, code=os.waitstatus_to_exitcode(status))
                time.sleep(RESTART_SECONDS)
                self._fork()
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)

    def _fork(self) -> None:
        if self._stopping:
            return
        pid = os.fork()
        if pid:
            self._children.add(pid)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        self._work(self._listener)
        os._exit(0)
