"""The cluster as its operator describes it: ``kdist_*`` variables of the inventory, validated as a whole.

:func:`read` takes plain inventory data and gives a :class:`ClusterSpec` or every problem at once, each naming
the host (or ``all``), the key and the reason. Pure: Ansible's action plug-in and ``kdist validate`` feed it.
``settings`` lists the keys, ``values`` what they take, ``rules`` what holds between them.
"""

from kdist.lifecycle.spec.description import ClusterSpec, HostSpec, Problem
from kdist.lifecycle.spec.reading import CONTROL_PLANE_GROUP, NODE_GROUP, read
from kdist.lifecycle.spec.settings import PREFIX, ClusterSettings, HostSettings, keys, rows
from kdist.lifecycle.spec.values import AUTHORITIES, KNOWN_ADDONS, Invalid, pairs

__all__ = [
    "AUTHORITIES",
    "CONTROL_PLANE_GROUP",
    "KNOWN_ADDONS",
    "NODE_GROUP",
    "PREFIX",
    "ClusterSettings",
    "ClusterSpec",
    "HostSettings",
    "HostSpec",
    "Invalid",
    "Problem",
    "keys",
    "pairs",
    "read",
    "rows",
]
