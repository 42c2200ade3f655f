"""The cluster as the operator's machine sees it: inventory, specification, connections, and a place for state.

State of operations lies in ``.kdist/`` beside the inventory; Ansible does not read names that begin with a dot.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdist.lifecycle import spec
from kdist.lifecycle.operation.remote import HostError, Reach, run_on
from kdist.lifecycle.spec import ClusterSpec

# Where roles, playbooks and modules are, and what a relative kdist_bundle is relative to.
CHECKOUT = Path(__file__).resolve().parents[3]


def ansible(program: str) -> str:
    """The path of one of Ansible's programs: the one installed with kdist, whatever PATH says."""
    return str(Path(sys.executable).with_name(program))


class SiteError(Exception):
    """The inventory cannot be read or is wrong; every problem on a line of its own."""


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster and the ways to its hosts."""

    inventory: Path
    spec: ClusterSpec
    variables: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @classmethod
    async def load(cls, inventory: Path) -> Site:
        """Read an inventory (file or directory) as Ansible does. Raises SiteError."""
        process = await asyncio.create_subprocess_exec(
            ansible("ansible-inventory"),
            "--inventory",
            str(inventory),
            "--list",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=CHECKOUT if not (inventory.is_absolute() or inventory.exists()) else None,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise SiteError(f"{inventory}: {err.decode(errors='replace').strip()}")
        listed = json.loads(out)
        variables = listed.get("_meta", {}).get("hostvars", {})
        groups = {name: _members(listed, name) for name in (spec.CONTROL_PLANE_GROUP, spec.NODE_GROUP)}
        everyone = {name: variables.get(name, {}) for group in groups.values() for name in group}
        return cls.of(inventory, everyone, groups)

    @classmethod
    def of(
        cls,
        inventory: Path,
        variables: Mapping[str, Mapping[str, Any]],
        groups: Mapping[str, Sequence[str]],
    ) -> Site:
        """From variables by host and hosts by group. Raises SiteError."""
        found, problems = spec.read(variables, groups)
        if problems or found is None:
            raise SiteError("\n".join(str(problem) for problem in problems))
        return cls(inventory.absolute(), found, variables)

    @property
    def directory(self) -> Path:
        """The directory of the inventory."""
        return self.inventory if self.inventory.is_dir() else self.inventory.parent

    @property
    def state(self) -> Path:
        """Where operations keep journals, logs and the operator's lock on this machine."""
        return self.directory / ".kdist"

    @property
    def bundle(self) -> Path:
        """The bundle that the inventory names."""
        return CHECKOUT / self.spec.settings.bundle

    @property
    def names(self) -> list[str]:
        """Every host, control planes first, in inventory order."""
        return sorted((h.name for h in self.spec.hosts), key=lambda name: name not in self.control_planes)

    @property
    def control_planes(self) -> list[str]:
        """Control-plane hosts in inventory order."""
        return [host.name for host in self.spec.control_planes]

    def address(self, name: str) -> str:
        """The address of a host's node."""
        return next(host.address for host in self.spec.hosts if host.name == name)

    def reach(self, name: str) -> Reach:
        """How to get to a host."""
        return Reach.from_variables(name, self.variables[name])

    async def run(self, name: str, command: str, *, given: bytes = b"", timeout: float = 60) -> str:
        """A shell command as root on a host. Raises HostError."""
        return await run_on(self.reach(name), command, given=given, timeout=timeout)

    async def run_everywhere(
        self, names: Sequence[str], command: str, *, given: bytes = b"", timeout: float = 60
    ) -> dict[str, str | HostError]:
        """The same command on several hosts at once: output or error by host."""

        async def one(name: str) -> str | HostError:
            try:
                return await self.run(name, command, given=given, timeout=timeout)
            except HostError as error:
                return error

        answers = await asyncio.gather(*(one(name) for name in names))
        return dict(zip(names, answers, strict=True))


def _members(listed: Mapping[str, Any], group: str) -> list[str]:
    entry = listed.get(group, {})
    nested = [host for child in entry.get("children", []) for host in _members(listed, child)]
    return list(dict.fromkeys([*entry.get("hosts", []), *nested]))
