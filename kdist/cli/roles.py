"""``kdist roles``: keep the roles of this checkout honest. For developers; not part of an installed release."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


@click.group()
def roles() -> None:
    """Check and document the Ansible roles of this checkout."""


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def _spec(role: Path) -> dict[str, Any]:
    found: dict[str, Any] = _load(role / "meta/argument_specs.yml")["argument_specs"]["main"]
    return found


def _faults(role: Path) -> list[str]:
    options, defaults = _spec(role).get("options", {}), _load(role / "defaults/main.yml") or {}
    faults = [f"{role.name}: {name} is not in argument_specs" for name in defaults if name not in options]
    for name, option in options.items():
        if name not in defaults:
            faults.append(f"{role.name}: {name} has no default")
        elif option.get("default") != defaults[name]:
            faults.append(f"{role.name}: the default of {name} differs from argument_specs")
        if not name.startswith(f"{role.name}_"):
            faults.append(f"{role.name}: {name} does not begin with the role's name")
    if (role / "README.md").read_text() != readme(role):
        faults.append(f"{role.name}: README.md is not what `kdist roles docs` writes")
    return faults


def readme(role: Path) -> str:
    """The README of a role, from its argument_specs."""
    spec = _spec(role)
    lines = [f"# {role.name}", "", f"{spec['short_description']}.", "", *spec["description"], ""]
    if options := spec.get("options"):
        lines += ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
        for name, option in options.items():
            default = yaml.safe_dump(option.get("default"), default_flow_style=True, width=1000)
            text = " ".join(option["description"])
            lines.append(f"| `{name}` | {option['type']} | `{default.replace('...', '').strip()}` | {text} |")
        lines.append("")
    tests = ", ".join(f"`tests/molecule/{name}`" for name in scenarios(role.name))
    lines += [f"Tag: `{role.name}`." + (f" Tests: {tests}." if tests else "")]
    return "\n".join(lines) + "\n"


def scenarios(role: str) -> list[str]:
    """The Molecule scenarios of a role: the one of its name, and its alternatives, ROLE-WHAT."""
    found = (path.parent.name for path in (ROLES.parent / "tests/molecule").glob("*/molecule.yml"))
    return sorted(name for name in found if name.partition("-")[0] == role)


def _roles() -> list[Path]:
    return sorted(path for path in ROLES.iterdir() if path.is_dir())


@roles.command()
def check() -> None:
    """Fail when a role's defaults, argument_specs and README do not agree."""
    faults = [fault for role in _roles() for fault in _faults(role)]
    for fault in faults:
        click.echo(fault, err=True)
    sys.exit(1 if faults else 0)


@roles.command()
def docs() -> None:
    """Write every role's README."""
    for role in _roles():
        (role / "README.md").write_text(readme(role))
