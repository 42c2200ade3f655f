"""Changing static pods on one control plane after the other, so that API and etcd go on meanwhile.

Before a host is changed the others must serve (:func:`silent`): what has gone wrong on one is not done to the next.
After it, its own must run as their manifests say and be well (:func:`behind`). A host that does not serve by itself
(:func:`ill`) has nothing to lose: it is mended at once, and nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kdist.lifecycle.certificates.settled import answers
from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError
from kdist.lifecycle.processes import Process, processes

# A full database is no reason to wait: a larger quota may be what the manifests bring.
_ETCD_HEALTH = "http://127.0.0.1:2381/health?exclude=NOSPACE"

Ask = Callable[[str], str | None]


def silent(peers: Mapping[str, str], api_port: int, ask: Ask = answers, etcd: Ask | None = None) -> list[str]:
    """Which of these control planes (name to address) do not serve, and why."""
    told = []
    for name, address in peers.items():
        for part, reason in (
            ("etcd", (etcd or _etcd)(f"https://{_bracketed(address)}:2379")),
            ("API server", ask(_readyz(address, api_port))),
        ):
            if reason:
                told.append(f"{part} of {name}: {reason}")
    return told


def _etcd(url: str) -> str | None:
    try:
        found = Etcdctl([url]).status(url)
    except EtcdctlError as error:
        return str(error)
    return None if found.leader else "it knows no leader"


def behind(
    changed: Iterable[Path], address: str, api_port: int, root: Path = Path("/"), ask: Ask = answers
) -> list[str]:
    """Which of this host's static pods do not run as their manifests say, or are not well."""
    there = list(processes(root))
    lagging = [reason for path in changed if (reason := _lag(path, there))]
    return lagging or ill(address, api_port, ask)


def ill(address: str, api_port: int, ask: Ask = answers) -> list[str]:
    """Why this host's etcd and API server do not serve; empty when they do."""
    return [reason for url in (_ETCD_HEALTH, _readyz(address, api_port)) if (reason := ask(url))]


def _readyz(address: str, api_port: int) -> str:
    return f"https://{_bracketed(address)}:{api_port}/readyz"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _lag(manifest: Path, there: Iterable[Process]) -> str | None:
    wanted = [words for words in _commands(yaml.safe_load(manifest.read_text())) if words]
    since = manifest.stat().st_mtime
    for words in wanted:
        # An interpreter may stand before, and the command itself may be told by its path.
        mine = [p for p in there if p.command[-len(words) + 1 :] == words[1:] and _named(p, words)]
        if not mine:
            return f"{manifest.stem} does not run as {manifest} says"
        if max(p.started for p in mine) < since:
            return f"{manifest.stem} was started before {manifest} changed"
    return None


def _named(process: Process, words: tuple[str, ...]) -> bool:
    before = process.command[: len(process.command) - len(words) + 1]
    return bool(before) and Path(before[-1]).name == Path(words[0]).name


def _commands(pod: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for container in pod["spec"]["containers"]:
        yield tuple(str(word) for word in (*container.get("command", ()), *container.get("args", ())))
