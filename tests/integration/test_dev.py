"""``kdist dev`` itself: its refusals, its files, its end."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Kubectl, start_dev, stop_dev


def _dev(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kdist.cli.main", "dev", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_taken_port_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _dev("--port", str(port), "--dir", str(tmp_path / "new"))
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--storage", "disk"), "--storage must be one of memory, etcd"),
        (("--only", "scheduler"), "--only must be apiserver"),
        (("--nodes", "-1"), "--nodes must be between"),
    ],
)
def test_wrong_options_are_explained(options: tuple[str, ...], text: str) -> None:
    done = _dev(*options)
    assert done.returncode == 2
    assert text in done.stderr


def test_only_the_api_server_runs_nothing_else(kubectl_binary: str, tmp_path: Path) -> None:
    process = start_dev(tmp_path, "--port", "0", "--only", "apiserver")
    kubectl = Kubectl(kubectl_binary, tmp_path / "admin.kubeconfig")
    try:
        assert kubectl.get("nodes")["items"] == []
        mode = stat.S_IMODE((tmp_path / "admin.kubeconfig").stat().st_mode)
        assert mode == 0o600
    finally:
        assert stop_dev(process) == 0
