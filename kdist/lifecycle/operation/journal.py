"""What an operation has done so far, so that another process can go on when this one is killed.

Every step is written down before it begins and after it ended. The file beside the inventory is the truth: it is on
disk (fsync) before the step goes on. A copy goes to the ConfigMap ``kube-system/kdist-OPERATION`` whenever the API
answers, for an operator on another machine; of two copies, that with the higher ``sequence`` is the newer.

Steps must converge: a step that is found ``running`` is done again from its beginning.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from kdist.api import kinds
from kdist.api.errors import ApiError, NotFound
from kdist.client.rest import Client, Unreachable

NAMESPACE = "kube-system"
KEY = "journal.json"


class State(StrEnum):
    """Of a step, and (but for UNDONE) of a whole operation."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    """Done or begun, and taken back."""
    PAUSED = "paused"


@dataclass(slots=True)
class Entry:
    """One step. ``name`` is unique in the journal (``cp1/drain``); times are seconds since the epoch."""

    name: str
    host: str = ""
    does: str = ""
    state: State = State.PENDING
    began: float | None = None
    ended: float | None = None
    detail: str = ""


class JournalError(Exception):
    """A journal cannot be read or does not fit; the text names file and reason."""


@dataclass(slots=True)
class Journal:
    """One operation. ``about`` is the operation's own (versions, paths, ...), anything that JSON can hold."""

    operation: str
    entries: list[Entry]
    about: dict[str, Any] = field(default_factory=dict)
    state: State = State.PENDING
    detail: str = ""
    began: float = field(default_factory=time.time)
    sequence: int = 0

    def entry(self, name: str) -> Entry:
        """The step of that name. Raises KeyError."""
        found = next((e for e in self.entries if e.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def has(self, name: str) -> bool:
        """Whether there is a step of that name."""
        return any(e.name == name for e in self.entries)

    @property
    def open(self) -> bool:
        """Whether there is something to go on with."""
        return self.state in (State.RUNNING, State.PAUSED, State.FAILED, State.PENDING)

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Journal:
        """As it was written. Raises JournalError."""
        try:
            entries = [Entry(**{**e, "state": State(e["state"])}) for e in data["entries"]]
            return cls(**{**data, "entries": entries, "state": State(data["state"])})
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(f"not a journal of this version: {error!r}") from error


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A journal on this machine."""

    path: Path

    def load(self) -> Journal | None:
        """The journal, None when there is none. Raises JournalError."""
        try:
            return Journal.from_json(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, JournalError) as error:
            raise JournalError(f"{self.path}: {error}") from error

    def save(self, journal: Journal) -> None:
        """On disk when this returns, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        with temporary.open("w") as stream:
            json.dump(journal.to_json(), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.path)


@dataclass(frozen=True, slots=True)
class ClusterCopy:
    """A journal in the cluster. What the API does not take now, it gets with the next step."""

    client: Client
    operation: str

    async def load(self) -> Journal | None:
        """The copy; None when there is none or the API does not answer. Raises JournalError."""
        data = await self._data()
        return Journal.from_json(json.loads(data[KEY])) if KEY in data else None

    async def flag(self, name: str) -> bool:
        """Whether somebody has asked for something, such as ``pause``."""
        return (await self._data()).get(name) == "true"

    async def _data(self) -> dict[str, str]:
        try:
            found = await self.client.get(kinds.CONFIG_MAPS, self._name, NAMESPACE)
        except (ApiError, Unreachable):
            return {}
        return dict(found.get("data") or {})

    @property
    def _name(self) -> str:
        return f"kdist-{self.operation}"

    async def save(self, journal: Journal) -> bool:
        """Write the copy; False when the API did not take it."""
        return await self.set({KEY: json.dumps(journal.to_json())})

    async def set(self, data: Mapping[str, str | None]) -> bool:
        """Set (or with None take away) keys of the ConfigMap."""
        try:
            try:
                await self.client.patch(kinds.CONFIG_MAPS, self._name, {"data": dict(data)}, NAMESPACE)
            except NotFound:
                whole = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": self._name, "namespace": NAMESPACE},
                    "data": {k: v for k, v in data.items() if v is not None},
                }
                await self.client.create(kinds.CONFIG_MAPS, whole)
        except (ApiError, Unreachable):
            return False
        return True


def newer(one: Journal | None, other: Journal | None) -> Journal | None:
    """The journal that knows more."""
    found = [journal for journal in (one, other) if journal]
    return max(found, key=lambda journal: (journal.began, journal.sequence), default=None)


class Recorder:
    """Writes a journal down around every step; ``tell`` hears of every change."""

    def __init__(
        self,
        file: JournalFile,
        journal: Journal,
        copy: ClusterCopy | None = None,
        tell: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self.journal = journal
        self._writing = asyncio.Lock()
        self._file, self._copy, self._tell = file, copy, tell

    async def write(self) -> None:
        """Both copies, the file first."""
        self.journal.sequence += 1
        self._file.save(self.journal)
        if self._copy:
            async with self._writing:  # steps of several hosts end at the same time
                await self._copy.save(self.journal)

    async def mark(self, entry: Entry, state: State, detail: str = "") -> None:
        """Write down what became of a step."""
        entry.state, entry.detail = state, detail
        if state is State.RUNNING:
            entry.began, entry.ended = time.time(), None
        else:
            entry.ended = time.time()
        self._tell(entry)
        await self.write()

    async def finish(self, state: State, detail: str = "") -> None:
        """Write down what became of the whole."""
        self.journal.state, self.journal.detail = state, detail
        await self.write()

    def left(self) -> Iterable[Entry]:
        """Steps that are not done, in order."""
        return [entry for entry in self.journal.entries if entry.state is not State.DONE]

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Entry]:
        """Do a step inside: written before, and after with what became of it."""
        entry = self.journal.entry(name)
        await self.mark(entry, State.RUNNING)
        try:
            yield entry
        except BaseException as error:
            # The copy in the cluster may be out of reach just because of this error: the file knows already.
            with suppress(ApiError, Unreachable):
                await self.mark(entry, State.FAILED, str(error) or type(error).__name__)
            raise
        await self.mark(entry, State.DONE, entry.detail)
