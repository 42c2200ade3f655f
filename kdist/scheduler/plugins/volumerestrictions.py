"""A claim with ReadWriteOncePod serves one pod at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from kdist.api import meta
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import Plugin, Rejection, State
from kdist.scheduler.listers import Listers
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.volumes import pod_claims

_REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


class VolumeRestrictions(Plugin):
    """Rejects every node while another pod uses such a claim."""

    name = "VolumeRestrictions"

    def __init__(self, cache: Cache, listers: Listers) -> None:
        super().__init__(cache)
        self._listers = listers

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """All rows, or none."""
        for name, _ in pod_claims(pod.obj):
            claim = self._listers.get(PERSISTENT_VOLUME_CLAIMS, name, pod.namespace)
            if "ReadWriteOncePod" not in meta.get(claim, "spec.accessModes", ()):
                continue
            users = self.cache.index.count(
                ("claim", pod.namespace, name), _uses(name), frozenset({pod.namespace})
            )
            if users.any():
                yield Rejection(np.ones(len(self.table), bool), _REASON)


def _uses(name: str) -> Callable[[PodInfo], bool]:
    return lambda pod: any(name == claim for claim, _ in pod_claims(pod.obj))
