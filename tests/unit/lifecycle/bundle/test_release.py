"""Shares of the Python tree and of images: workers are spared what only control planes import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdist.lifecycle.bundle.layers import Blob
from kdist.lifecycle.bundle.load import wanted
from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, NODE, ImageEntry
from kdist.lifecycle.bundle.release import CONTROL_PLANE_WHEELS, Tree

# Wheels whose module has another name.
MODULES = {"google_re2": "re2", "pynacl": "nacl"}
# Imports all of a package in an interpreter of its own where the modules of control planes cannot be imported.
IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name in json.loads(sys.argv[2]):
    sys.modules[name] = None
found = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{found.__name__}."):
    importlib.import_module(module.name)
"""


def blob(name: str) -> Blob:
    return Blob(Path(name), name, 1)


def test_control_planes_have_a_layer_more_and_kdist_is_last() -> None:
    tree = Tree(blob("shared"), blob("wide"), blob("kdist"))
    assert [layer.digest for layer in tree.of(NODE)] == ["shared", "kdist"]
    assert [layer.digest for layer in tree.of(CONTROL_PLANE)] == ["shared", "wide", "kdist"]
    assert {layer.digest: role for layer, role in tree.roles().items()} == {
        "shared": NODE,
        "wide": CONTROL_PLANE,
        "kdist": NODE,
    }


def test_of_two_images_with_one_name_each_role_takes_its_own() -> None:
    images = (
        ImageEntry("kdist", "sha256:wide", CONTROL_PLANE),
        ImageEntry("kdist", "sha256:slim", NODE),
        ImageEntry("pause", "sha256:pause", NODE),
        ImageEntry("etcd", "sha256:etcd", CONTROL_PLANE),
    )
    assert wanted(images, NODE) == {"kdist": "sha256:slim", "pause": "sha256:pause"}
    assert wanted(images, CONTROL_PLANE) == {
        "kdist": "sha256:wide",
        "pause": "sha256:pause",
        "etcd": "sha256:etcd",
    }


@pytest.mark.parametrize(
    "package",
    [
        *("agent", "csi", "dns", "net", "proxy", "vip", "client", "telemetry", "lifecycle.bundle.load"),
        *(f"cli.{name}" for name in ("main", "agent", "bundle", "csi_local", "dns", "net", "proxy", "vip")),
    ],
)
def test_what_runs_on_workers_imports_nothing_that_they_lack(package: str) -> None:
    lacking = json.dumps([MODULES.get(wheel, wheel) for wheel in sorted(CONTROL_PLANE_WHEELS)])
    command = [sys.executable, "-c", IMPORT_ALL, f"kdist.{package}", lacking]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
