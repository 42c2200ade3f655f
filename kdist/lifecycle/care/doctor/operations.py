"""Operations that were cut off, and locks that nobody holds any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdist.lifecycle.care.doctor.findings import Severity, Told, check, error, warning
from kdist.lifecycle.care.picture import Picture
from kdist.lifecycle.operation.journal import Journal, State

Found = Iterator[tuple[Severity, Told]]
# An operation takes minutes; a lock that is older deserves a look.
OLD_SECONDS = 3600


@check("operator-lock")
def lock(picture: Picture) -> Found:
    """Locks whose process has ended, or that are old."""
    told: set[str] = set()
    for host, found in picture.locks.items():
        if not found or found[0].id in told:
            continue
        holder, age = found
        told.add(holder.id)
        if holder.is_gone():
            yield warning(
                host,
                "a lock was left behind",
                f"{holder.told(age)}; that process has ended",
                "the next operation from this machine takes it over by itself",
            )
        elif age > OLD_SECONDS:
            yield warning(host, "an old lock", holder.told(age), "when its holder is gone: add --break-lock")


@check("interrupted-operation")
def interrupted(picture: Picture) -> Found:
    """Journals that are open while nobody holds the lock."""
    if any(picture.locks.values()):
        return
    open_journals: dict[str, tuple[str, str]] = {}
    if picture.cluster:
        for name, data in picture.cluster["operations"].items():
            if data.get("state") in (State.RUNNING, State.FAILED, State.PAUSED):
                open_journals[name] = (data["state"], _step(data))
    for name, journal in picture.journals.items():
        if isinstance(journal, str):
            yield error(
                f"journal {name}", "cannot be read", journal, "move it aside; the cluster keeps a copy"
            )
        elif isinstance(journal, Journal) and journal.state in (State.RUNNING, State.FAILED, State.PAUSED):
            open_journals[name] = (journal.state, _step(journal.to_json()))
    for name, (state, step) in sorted(open_journals.items()):
        level = warning if state == State.PAUSED else error
        seen = "is paused" if state == State.PAUSED else "has not ended"
        yield level(
            f"operation {name}",
            seen,
            step,
            f"kdist {name} resume" if name == "upgrade" else f"run kdist {name} again",
        )


def _step(journal: Mapping[str, Any]) -> str:
    """Where it stands."""
    entries = journal.get("entries", ())
    done = sum(entry["state"] == State.DONE for entry in entries)
    at = next((e for e in entries if e["state"] in (State.RUNNING, State.FAILED)), None)
    where = f"; {at['name']}: {at['state']} {at.get('detail', '')}".rstrip() if at else ""
    return f"{done} of {len(entries)} steps are done{where}"
