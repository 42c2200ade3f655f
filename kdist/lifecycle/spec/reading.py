"""Reads a description from the variables of an inventory; tells every problem at once."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from kdist.lifecycle.spec.description import ClusterSpec, HostSpec, Problem
from kdist.lifecycle.spec.rules import across
from kdist.lifecycle.spec.settings import PREFIX, ClusterSettings, HostSettings, keys
from kdist.lifecycle.spec.values import Invalid, is_domain

CONTROL_PLANE_GROUP = "kube_control_plane"
NODE_GROUP = "kube_node"


def _convert(cls: type[Any], host: str, given: Mapping[str, Any], problems: list[Problem]) -> Any:
    values = {}
    for known in dataclasses.fields(cls):
        if known.name in given and given[known.name] is not None:
            try:
                values[known.name] = known.metadata["convert"](given[known.name])
            except Invalid as error:
                problems.append(Problem(host, PREFIX + known.name, str(error)))
    return cls(**values)


def _own(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(PREFIX): v for k, v in variables.items() if k.startswith(PREFIX)}


def _unknown(host: str, given: Iterable[str]) -> list[Problem]:
    known = keys(ClusterSettings) + keys(HostSettings)
    problems = []
    for key in sorted(PREFIX + name for name in given):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(Problem(host, key, f"unknown key{hint}"))
    return problems


def _host(
    name: str, variables: Mapping[str, Any], control_plane: bool, problems: list[Problem]
) -> HostSpec | None:
    given = _own(variables)
    settings: HostSettings = _convert(HostSettings, name, given, problems)
    if not is_domain(name) or len(name) > 253:
        problems.append(
            Problem(name, "", "the inventory name must be a valid node name (lower-case DNS name)")
        )
    address, _, address6 = (settings.node_ip or str(variables.get("ansible_host") or name)).partition(",")
    try:
        return HostSpec(name, str(ipaddress.ip_address(address)), control_plane, settings, address6)
    except ValueError:
        reason = f"no IP address known: ansible_host is {address!r}; set kdist_node_ip"
        problems.append(Problem(name, PREFIX + "node_ip", reason))
        return None


def read(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Iterable[str]]
) -> tuple[ClusterSpec | None, list[Problem]]:
    """The specification of an inventory, and everything that is wrong with it.

    With problems, the specification holds defaults in place of what is wrong, so that hosts can be judged in the
    same breath; it must not be acted upon. None: there is no control plane at all.
    ``hostvars``: variables by host; ``groups``: host names by group, as Ansible resolves them.
    """
    problems: list[Problem] = []
    planes = list(groups.get(CONTROL_PLANE_GROUP, ()))
    names = list(dict.fromkeys([*planes, *groups.get(NODE_GROUP, ())]))
    if not planes:
        problems.append(Problem("all", "", f"group {CONTROL_PLANE_GROUP} has no host"))
        return None, problems
    shared = _own(hostvars[planes[0]])
    settings: ClusterSettings = _convert(ClusterSettings, "all", shared, problems)
    everywhere = set.intersection(*(set(_own(hostvars[name])) for name in names))
    problems += _unknown("all", everywhere)
    hosts = []
    for name in names:
        given = _own(hostvars[name])
        problems += _unknown(name, set(given) - everywhere)
        problems += _disagreements(name, given, shared)
        hosts.append(_host(name, hostvars[name], name in planes, problems))
    valid = [host for host in hosts if host]
    problems += across(settings, valid)
    return ClusterSpec(settings, tuple(valid)), problems


def _disagreements(name: str, given: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Problem]:
    found = []
    for known in dataclasses.fields(ClusterSettings):
        if given.get(known.name) != shared.get(known.name):
            reason = f"is {given.get(known.name)!r} here and {shared.get(known.name)!r} elsewhere; set it for all hosts"
            found.append(Problem(name, PREFIX + known.name, reason))
    return found
