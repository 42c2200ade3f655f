"""``@kubernetes/client-node`` from npm: the cases are in javascript/client.test.mjs, run by node's own runner."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Kubectl

FOLDER = Path(__file__).parent / "javascript"
SECONDS = 120


def test_client_node(kubectl: Kubectl) -> None:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.fail("node or its packages are missing: run `scripts/setup dev,thirdparty`")
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig), "NAMESPACE": kubectl.namespace}
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", "client.test.mjs"],
        cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= 10, done.stdout
