"""The CSINode object and the node's topology labels: pure changes, and one function that writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from kdist.api import meta
from kdist.api.errors import AlreadyExists, Conflict, NotFound
from kdist.api.kinds import CSI_NODES, NODES, Kind
from kdist.api.meta import Obj

NODE_IDS = "csi.volume.kubernetes.io/nodeid"
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class DriverOnNode:
    """What a driver says of itself and this node."""

    name: str
    node_id: str
    topology: dict[str, str] = field(default_factory=dict)
    max_volumes: int = 0


class Api(Protocol):
    """The calls that this module makes of the API."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """An object."""
        ...

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None) -> Obj:
        """Create one."""
        ...

    async def update(self, kind: Kind, obj: Obj) -> Obj:
        """Replace one."""
        ...

    async def patch(self, kind: Kind, name: str, body: Any) -> Obj:
        """Merge into one."""
        ...


def entry(driver: DriverOnNode) -> Obj:
    """The driver's item of ``spec.drivers``."""
    item: Obj = {"name": driver.name, "nodeID": driver.node_id, "topologyKeys": sorted(driver.topology)}
    if driver.max_volumes > 0:
        item["allocatable"] = {"count": driver.max_volumes}
    return item


def with_driver(csi_node: Obj, name: str, driver: DriverOnNode | None) -> Obj | None:
    """The CSINode with this driver put in (or taken out, when None); None when nothing changes."""
    drivers = (csi_node.get("spec") or {}).get("drivers") or []
    kept = [d for d in drivers if d["name"] != name]
    wanted = kept if driver is None else sorted([*kept, entry(driver)], key=lambda d: str(d["name"]))
    if sorted(drivers, key=lambda d: str(d["name"])) == wanted:
        return None
    return {**csi_node, "spec": {**(csi_node.get("spec") or {}), "drivers": wanted}}


def node_patch(node: Obj, name: str, driver: DriverOnNode | None) -> Obj | None:
    """The merge patch of the Node: topology labels and the annotation with the driver's name for it.

    Labels stay when the driver goes: volumes that were made for this node still name them.
    """
    ids = json.loads(meta.annotations(node).get(NODE_IDS) or "{}")
    wanted = {k: v for k, v in ids.items() if k != name}
    if driver is not None:
        wanted[name] = driver.node_id
    patch: Obj = {}
    if wanted != ids:
        text = json.dumps(wanted, sort_keys=True, separators=(",", ":"))
        patch["annotations"] = {NODE_IDS: text if wanted else None}
    labels = meta.labels(node)
    missing = {k: v for k, v in (driver.topology if driver else {}).items() if labels.get(k) != v}
    if missing:
        patch["labels"] = missing
    return {"metadata": patch} if patch else None


async def publish(api: Api, node_name: str, name: str, driver: DriverOnNode | None) -> None:
    """Write what :func:`with_driver` and :func:`node_patch` say. Raises the ApiError tree."""
    node = await api.get(NODES, node_name)
    patch = node_patch(node, name, driver)
    if patch is not None:
        await api.patch(NODES, node_name, patch)
    for attempt in range(_ATTEMPTS):
        try:
            await _write(api, node, name, driver)
            return
        except (Conflict, AlreadyExists):
            if attempt == _ATTEMPTS - 1:
                raise


async def _write(api: Api, node: Obj, name: str, driver: DriverOnNode | None) -> None:
    try:
        present = await api.get(CSI_NODES, meta.name(node))
    except NotFound:
        fresh: Obj = {
            "apiVersion": CSI_NODES.api_version,
            "kind": CSI_NODES.kind,
            "metadata": {
                "name": meta.name(node),
                "ownerReferences": [meta.owner_ref(node, NODES, controller=False)],
            },
            "spec": {"drivers": [] if driver is None else [entry(driver)]},
        }
        await api.create(CSI_NODES, fresh)
        return
    changed = with_driver(present, name, driver)
    if changed is not None:
        await api.update(CSI_NODES, changed)
