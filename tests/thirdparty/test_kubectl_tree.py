"""kubectl's whole command tree, by transcripts: every command, how it ends and what it says."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Kubectl
from tests.thirdparty import transcript

FOLDER = Path(__file__).parent / "kubectl"
TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))
PATIENCE_SECONDS = 30
SHOWN = 2_000  # characters of output in the report of a failure
# Need running containers (tests/e2e has those), ask nothing of a server, or have a test of their own below.
ELSEWHERE = {"attach", "cp", "port-forward", "completion", "proxy"}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    steps = transcript.read(path, namespace=kubectl.namespace, folder=str(tmp_path))
    failures = [told for step in steps if (told := _told(kubectl, step, path.name))]
    assert not failures, "\n".join(failures)


def _told(kubectl: Kubectl, step: transcript.Step, name: str) -> str:
    """What is wrong with a step; empty when nothing is."""
    deadline = time.monotonic() + PATIENCE_SECONDS * step.patient
    while True:
        code, printed = _run(kubectl, step)
        misses = step.misses(code, printed)
        if not misses:
            return ""
        if time.monotonic() >= deadline:
            return f"{name}:{step.line}: {', '.join(misses)} in:\n{printed[:SHOWN]}"
        time.sleep(0.2)


def _run(kubectl: Kubectl, step: transcript.Step) -> tuple[int, str]:
    environment = {"KUBECTL_EXTERNAL_DIFF": "diff -u", **step.environment}
    done = kubectl.run(tuple(step.arguments), step.stdin, environment, FOLDER)
    return done.returncode, done.stdout + done.stderr


def test_transcripts_hold_every_command(kubectl_binary: str) -> None:
    steps = [step for path in TRANSCRIPTS for step in transcript.read(path)]
    said = {tuple(a for a in step.arguments if not a.startswith("--")) for step in steps}
    missing = [
        " ".join(command)
        for command in _leaves(kubectl_binary, ())
        if not any(arguments[: len(command)] == command for arguments in said)
    ]
    assert set(missing) <= ELSEWHERE, missing


def _leaves(binary: str, command: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    text = subprocess.run([binary, *command, "--help"], capture_output=True, text=True, check=True).stdout
    sections = re.findall(r"^[A-Z][^\n]*Commands[^\n]*:\n((?:  [a-z].*\n)+)", text, re.MULTILINE)
    below = [line.split()[0] for section in sections for line in section.splitlines()]
    if not below:
        yield command
    for name in below:
        yield from _leaves(binary, (*command, name))


def test_proxy_passes_requests_on(kubectl: Kubectl) -> None:
    proxy = kubectl.start("proxy", "--port=0")
    assert proxy.stdout is not None
    try:
        port = proxy.stdout.readline().rpartition(":")[2].strip()
        address = f"http://127.0.0.1:{port}/api/v1/namespaces/{kubectl.namespace}"
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert json.load(answer)["metadata"]["name"] == kubectl.namespace
    finally:
        proxy.terminate()
        proxy.communicate()
