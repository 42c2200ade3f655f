"""An API server in a process of its own for benchmarks: in-memory storage, TLS, client certificates for named users.

``python tests/bench/apiserver_process.py DIR [FLAG=VALUE ...]`` serves until its standard input ends; benchmarks use
:func:`server`.
"""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

from kdist.pki.issue import create_authority, issue
from kdist.pki.plan import AuthoritySpec, LeafSpec

START_SECONDS = 120


class Served:
    """Where the server is and how to be somebody there."""

    def __init__(self, port, directory, pid):
        self.port, self.directory, self.pid = port, directory, pid
        self.url = f"https://127.0.0.1:{port}"

    def context(self, user):
        """A TLS context with the user's certificate."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(self.directory / f"{user}.crt", self.directory / f"{user}.key")
        return context

    def memory(self):
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ValueError("no VmRSS")

    def processor(self):
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _credentials(directory, users):
    authority = create_authority(AuthoritySpec("ca", "bench-ca", PurePosixPath("ca")))
    (directory / "ca.crt").write_bytes(authority.certificate)
    for name, groups in users.items():
        pair = issue(LeafSpec(name, "ca", name, None, organizations=groups), authority)
        (directory / f"{name}.crt").write_bytes(pair.certificate)
        (directory / f"{name}.key").write_bytes(pair.key)


@contextlib.contextmanager
def server(directory, users, **flags):
    """A running server with these users (name: groups)."""
    _credentials(directory, users)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    command = [sys.executable, "-m", "kdist.cli.main", "apiserver", "--storage=memory"]
    command += ["--bind-address=127.0.0.1", f"--secure-port={port}", "--authorization-mode=AlwaysAllow"]
    command += [f"--client-ca-file={directory / 'ca.crt'}", "--log-level=error", *given]
    process = subprocess.Popen(command)
    try:
        _wait(port, process)
        yield Served(port, directory, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(port, process):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not start")
