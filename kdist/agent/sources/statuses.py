"""Takes pod statuses to the API as soon as they change, and completes deletions.

One write at a time for each pod; while one is under way only the newest status is kept. A static pod's status
goes to its mirror pod.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdist.agent.cri import labels
from kdist.agent.pods import spec as specs
from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import PODS
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.client.workers import run_workers
from kdist.client.workqueue import WorkQueue

WORKERS = 8


@dataclass(slots=True)
class _Record:
    """One pod: its newest status, what the API is known to have, and whether it may go."""

    pod: Obj
    api: Obj | None = None
    finished: bool = False


class StatusWriter:
    """The :class:`kdist.agent.pods.host.Publisher` of a node with an API."""

    def __init__(self, client: Client, mirror_of: Callable[[Obj], Obj | None]) -> None:
        """``mirror_of`` finds the mirror pod of a static pod."""
        self._client, self._mirror_of = client, mirror_of
        self._records: dict[str, _Record] = {}
        self._queue = WorkQueue("pod-status")

    async def run(self) -> None:
        """Write until cancelled."""
        await run_workers(self._queue, self._write, workers=WORKERS, name="pod-status")

    def publish(self, pod: Obj) -> None:
        """``pod["status"]`` is the pod's status now."""
        record = self._records.setdefault(meta.uid(pod), _Record(pod))
        record.pod = pod
        self._queue.add(meta.uid(pod))

    def finish(self, pod: Obj) -> None:
        """After its last status the pod's deletion may complete."""
        self.publish(pod)
        self._records[meta.uid(pod)].finished = True

    def observe(self, pod: Obj) -> None:
        """The API's newest version of a pod or mirror pod: what somebody overwrote is written again."""
        record = self._records.setdefault(_runtime_uid(pod), _Record(pod))
        if record.api is None or _revision(pod) > _revision(record.api):
            record.api = pod
            self._queue.add(_runtime_uid(pod))

    def forget(self, uid: str) -> None:
        """The pod is gone from its source."""
        self._records.pop(uid, None)

    async def _write(self, uid: str) -> None:
        record = self._records.get(uid)
        if record is None:
            return
        target = self._mirror_of(record.pod) if specs.is_static(record.pod) else record.pod
        if target is None:
            return  # Written when the mirror pod appears.
        if record.api is None or meta.uid(record.api) != meta.uid(target):
            record.api = target if specs.is_static(record.pod) else None
        try:
            await self._bring_up(record, target)
            if record.finished and not specs.is_static(record.pod):
                await self._client.delete(
                    PODS, meta.name(target), meta.namespace(target), grace_seconds=0, uid=meta.uid(target)
                )
        except NotFound:
            return
        except Conflict:
            # Another pod of that name took its place: its own record has its own status.
            self._records.pop(uid, None)

    async def _bring_up(self, record: _Record, target: Obj) -> None:
        known = (record.api or {}).get("status") or {}
        change = difference(known, record.pod["status"])
        if not change and record.api is not None:
            return
        body = {"metadata": {"uid": meta.uid(target)}, "status": change}
        record.api = await self._client.patch(
            PODS, meta.name(target), body, meta.namespace(target), type="strategic", subresource="status"
        )


def _runtime_uid(pod: Obj) -> str:
    """The uid under which the node knows the pod: a mirror pod carries the static pod's."""
    return meta.annotations(pod).get(labels.CONFIG_MIRROR) or meta.uid(pod)


def _revision(pod: Obj) -> int:
    text = meta.resource_version(pod)
    return int(text) if text.isdigit() else 0


def difference(old: Obj, new: Obj) -> Obj:
    """The strategic merge patch that makes ``old`` into ``new``; empty when they say the same.

    Conditions merge by type, so those of others stay; addresses would merge too and are replaced whole.
    """
    change: Obj = {}
    for key in {*old, *new}:
        before, after = _plain(old.get(key)), _plain(new.get(key))
        if before == after:
            continue
        if key == "conditions":
            change[key] = _conditions(before or [], after or [])
        elif key in ("podIPs", "hostIPs") and after:
            change[key] = [*after, {"$patch": "replace"}]
        else:
            change[key] = after
    return {k: v for k, v in change.items() if v != []}


def _conditions(before: list[Obj], after: list[Obj]) -> list[Obj]:
    """The conditions that differ; a field that one does not have any more is nulled, as merging would keep it."""
    known = {c["type"]: c for c in before}
    changed = [c for c in after if known.get(c["type"]) != c]
    return [{**dict.fromkeys(known.get(c["type"]) or ()), **c} for c in changed]


def _plain(value: Any) -> Any:
    """Without nulls, which the API shows for unset times."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value
