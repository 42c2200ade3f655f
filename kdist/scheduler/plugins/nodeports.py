"""Two pods of a node cannot have the same host port."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from kdist.scheduler.framework import Plugin, Rejection, State
from kdist.scheduler.podinfo import HostPort, PodInfo

_ANY = "0.0.0.0"


class NodePorts(Plugin):
    """Rejects nodes where a port that the pod wants is taken."""

    name = "NodePorts"

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """The rows with a clash, found by counting pods that hold the port."""
        if not pod.ports:
            return
        taken = np.zeros(len(self.table), bool)
        for port in pod.ports:
            taken |= self.cache.index.count(("port", port), _holds(port), None) > 0
        yield Rejection(taken, "node(s) didn't have free ports for the requested pod ports")


def _holds(port: HostPort) -> Callable[[PodInfo], bool]:
    """Whether a pod holds a port that clashes with this one."""
    return lambda pod: any(_clash(port, other) for other in pod.ports)


def _clash(left: HostPort, right: HostPort) -> bool:
    same_address = left[0] == right[0] or _ANY in (left[0], right[0])
    return same_address and left[1:] == right[1:]
