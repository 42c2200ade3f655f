"""Who listens on a port: found while the process opens and closes files all the time."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.unit.modules.conftest import plugin

preflight = plugin("modules/kdist_preflight")


def test_a_listener_is_told_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = {one["port"]: one for one in preflight.listeners(installed=False)}
    assert "python" in found[port]["process"] or "pytest" in found[port]["process"]
    assert not found[port]["ours"]


def test_a_file_that_closes_meanwhile_hides_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    readlink = Path.readlink
    with Path(os.devnull).open() as closing, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        gone = f"/proc/{os.getpid()}/fd/{closing.fileno()}"
        assert closing.fileno() < server.fileno()

        def vanished(path: Path) -> Path:
            if str(path) == gone:
                raise FileNotFoundError(path)
            return readlink(path)

        monkeypatch.setattr(Path, "readlink", vanished)
        found = {one["port"]: one for one in preflight.listeners(installed=False)}
    assert found[port]["process"]
