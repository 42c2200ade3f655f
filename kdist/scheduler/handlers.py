"""From informers to cache and queue: what a change means for scheduling."""

from __future__ import annotations

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.api.selectors import SelectorError
from kdist.scheduler import events
from kdist.scheduler.cache import Cache
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.queue import SchedulingQueue
from kdist.scheduler.volumes import ClaimBinder
from kdist.telemetry import log

_log = log.get(__name__)


class Handlers:
    """One method per informer; all of them synchronous."""

    def __init__(
        self, cache: Cache, queue: SchedulingQueue, binder: ClaimBinder | None, scheduler_name: str
    ) -> None:
        self._cache, self._queue, self._binder = cache, queue, binder
        self._scheduler_name = scheduler_name

    def pod(self, old: Obj | None, new: Obj | None) -> None:
        """A pod is placed, waits, is finished or gone."""
        if new is None or pods.is_terminal(new):
            self._gone(new or old or {})
        elif meta.get(new, "spec.nodeName"):
            self._placed(old, new)
        elif meta.get(new, "spec.schedulerName", "default-scheduler") == self._scheduler_name:
            self._waiting(new)

    def _gone(self, pod: Obj) -> None:
        uid = meta.uid(pod)
        self._queue.remove(uid)
        self._cache.nominated.pop(uid, None)
        if self._cache.remove_pod(uid):
            self._queue.move(events.POD_GONE)

    def _placed(self, old: Obj | None, new: Obj) -> None:
        uid, node = meta.uid(new), new["spec"]["nodeName"]
        known = self._cache.node_of(uid) == node and not self._cache.is_assumed(uid)
        if known and old is not None and _same(old, new):
            return
        pod = _parse(new)
        if pod is None:
            return
        self._cache.set_pod(pod, node)
        self._cache.nominated.pop(uid, None)
        self._queue.remove(uid)
        self._queue.move(events.POD_CHANGE if known else events.POD_PLACED)

    def _waiting(self, new: Obj) -> None:
        uid = meta.uid(new)
        if meta.is_deleting(new):
            self._queue.remove(uid)
            return
        if self._cache.is_assumed(uid):
            return
        pod = _parse(new)
        if pod is None:
            return
        nominated = meta.get(new, "status.nominatedNodeName")
        if nominated:
            self._cache.nominated[uid] = (pod, nominated)
        self._queue.add(pod)

    def node(self, old: Obj | None, new: Obj | None) -> None:
        """A node came, changed or went."""
        if new is None:
            self._cache.remove_node(meta.name(old or {}))
        elif self._cache.set_node(new):
            self._queue.move(events.NODE_ADD if old is None else events.NODE_CHANGE)

    def storage(self, old: Obj | None, new: Obj | None) -> None:
        """A claim, a volume or a storage class changed."""
        if self._binder is not None:
            self._binder.notify()
        self._queue.move(events.STORAGE_CHANGE)

    def namespace(self, old: Obj | None, new: Obj | None) -> None:
        """Labels of namespaces decide which pods affinity terms mean."""
        if meta.labels(old or {}) != meta.labels(new or {}):
            self._cache.index.namespaces_changed()
            self._queue.move(events.NAMESPACE_CHANGE)


def _same(old: Obj, new: Obj) -> bool:
    """Whether nothing changed that others' placement depends on."""
    return (
        old["spec"] == new["spec"]
        and meta.labels(old) == meta.labels(new)
        and meta.is_deleting(old) == meta.is_deleting(new)
    )


def _parse(pod: Obj) -> PodInfo | None:
    try:
        return PodInfo.parse(pod)
    except (SelectorError, ValueError) as error:
        _log.error("pod cannot be read and is left alone", pod=meta.key(pod), error=error)
        return None


def slim_pod(pod: Obj) -> Obj:
    """A pod without what scheduling never reads: most of its status, the containers' details."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    metadata.pop("managedFields", None)
    metadata.pop("annotations", None)
    for field in ("initContainers", "containers"):
        if field in spec:
            spec[field] = [{k: c[k] for k in _CONTAINER if k in c} for c in spec[field]]
    pod["status"] = {
        k: status[k] for k in ("phase", "nominatedNodeName", "startTime", "conditions") if k in status
    }
    if spec.get("nodeName"):
        pod["status"].pop("conditions", None)
    return pod


_CONTAINER = ("name", "image", "resources", "ports", "restartPolicy")


def slim_node(node: Obj) -> Obj:
    """A node without conditions and heartbeats."""
    node["metadata"].pop("managedFields", None)
    node["metadata"].pop("annotations", None)
    status = node.get("status") or {}
    node["status"] = {k: status[k] for k in ("allocatable", "capacity", "images") if k in status}
    return node
