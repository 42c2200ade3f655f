"""The lock pins everything the product imports: what it lacks is missing on every host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def _normal(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {_normal(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}  # type: ignore[index]
    lock = (ROOT / "requirements.lock").read_text()
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.M)}
    assert wanted - locked == set(), "run `kdist bundle lock`"


def test_what_the_operators_machine_needs_besides_is_locked_too() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [
        *described["project"]["optional-dependencies"]["operator"],
        *described["build-system"]["requires"],
    ]
    wanted = {_normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]
    locks = "".join((ROOT / name).read_text() for name in ("requirements.lock", "requirements-operator.lock"))
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", locks, re.M)}
    assert wanted - locked == set(), "run `kdist bundle lock`"
