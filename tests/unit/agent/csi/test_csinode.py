"""CSINode objects, node labels and registration follow the sockets."""

from __future__ import annotations

import json
from pathlib import Path

from kdist.agent.csi import csinode, registration
from kdist.agent.csi.csinode import NODE_IDS, DriverOnNode

DRIVER = DriverOnNode("d.example", "id-1", {"topology.example/node": "n1"}, 20)


def test_driver_is_put_in_once_and_taken_out() -> None:
    empty = {"metadata": {"name": "n1"}, "spec": {"drivers": []}}
    with_it = csinode.with_driver(empty, DRIVER.name, DRIVER)
    assert with_it is not None
    assert with_it["spec"]["drivers"] == [
        {
            "name": "d.example",
            "nodeID": "id-1",
            "topologyKeys": ["topology.example/node"],
            "allocatable": {"count": 20},
        }
    ]
    assert csinode.with_driver(with_it, DRIVER.name, DRIVER) is None
    without = csinode.with_driver(with_it, DRIVER.name, None)
    assert without is not None
    assert without["spec"]["drivers"] == []


def test_node_gets_topology_labels_and_keeps_them() -> None:
    patch = csinode.node_patch({"metadata": {"name": "n1"}}, DRIVER.name, DRIVER)
    assert patch is not None
    node = patch["metadata"]
    assert node["labels"] == {"topology.example/node": "n1"}
    assert json.loads(node["annotations"][NODE_IDS]) == {"d.example": "id-1"}
    assert csinode.node_patch({"metadata": node}, DRIVER.name, DRIVER) is None
    assert csinode.node_patch({"metadata": node}, DRIVER.name, None) == {
        "metadata": {"annotations": {NODE_IDS: None}}
    }


def test_replaced_socket_registers_again() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    known = {a: (1, 1), b: (2, 1)}
    changes = registration.plan(known, {b: (3, 9), c: (4, 9)})
    assert changes == registration.Changes(gone=(a,), new=(b, c))
    assert registration.plan(known, dict(known)) == registration.Changes((), ())
