"""How the cluster remembers nodes that were taken out: a Secret of kube-system each, named after the node. Pure.

The API server refuses certificates of such a node that were issued up to the moment in it; one that the node gets
later, by a bootstrap token, is as good as any. So the Secret stays when the node has come back.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from kdist.api import meta
from kdist.api.meta import Obj

NAMESPACE = "kube-system"
TYPE = "kdist.io/removed-node"
PREFIX = "removed-node-"
# When the node last asked to come in and was refused; written by the API servers.
ASKED = "kdist.io/last-asked"
# Says in the details of an answer that this is why the node is not let in.
REFUSED = "removednode"
_BEFORE = "issued-before"


@dataclass(frozen=True, slots=True)
class Removed:
    """A removed node. ``moment``: of its removal, RFC 3339; ``asked``: when it was refused last, empty for never."""

    node: str
    moment: str
    asked: str = ""

    def refuses(self, issued: float) -> bool:
        """Whether a certificate that was issued then, in seconds since the epoch, does not serve any more."""
        return issued <= meta.parse_time(self.moment).timestamp()


def name(node: str) -> str:
    """The name of the node's Secret."""
    return PREFIX + node


def secret(node: str, moment: str) -> Obj:
    """What makes the API servers refuse the certificates that ``node`` has at the ``moment``."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": {"name": name(node), "namespace": NAMESPACE},
        "data": {_BEFORE: base64.b64encode(moment.encode()).decode()},
    }


def read(found: Obj) -> Removed | None:
    """What a Secret says; None for one of another kind. A moment that cannot be read is that of its creation."""
    if found.get("type") != TYPE:
        return None
    try:
        moment = base64.b64decode(meta.get(found, "data", {}).get(_BEFORE, "")).decode()
        meta.parse_time(moment)
    except ValueError:
        moment = str(meta.get(found, "metadata.creationTimestamp", ""))
    return Removed(meta.name(found).removeprefix(PREFIX), moment, meta.annotations(found).get(ASKED, ""))
