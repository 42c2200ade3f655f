"""A host that is switched off leaves: its node and everything that would outlive it."""

from __future__ import annotations

import json
from pathlib import Path

from kdist.client.rest import Client
from kdist.lifecycle.operation.site import Site
from kdist.lifecycle.remove import plan, steps
from tests.integration.conftest import Kubectl


def site_of(directory: Path, worker: str) -> Site:
    """An inventory whose hosts answer nobody."""
    silent = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_extra_args": "-F none"}
    variables = {
        "cp1": {**silent, "kdist_node_ip": "192.0.2.1"},
        worker: {**silent, "kdist_node_ip": "192.0.2.2"},
    }
    return Site.of(directory, variables, {"kube_control_plane": ["cp1"], "kube_node": [worker]})


def bound_to(node: str, namespace: str) -> list[dict[str, object]]:
    """Objects that outlive a node unless somebody deletes them."""
    meta = {"name": node}
    reference = {"name": "web", "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "Node", "metadata": meta},
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**meta, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": node},
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": meta,
            "spec": {"drivers": []},
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {"name": f"csi-{node}", "finalizers": ["external-attacher/csi"]},
            "spec": {"attacher": "csi", "nodeName": node, "source": {"persistentVolumeName": "pv"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": reference,
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        },
    ]


async def test_nothing_is_left_of_a_node_whose_host_is_off(kubectl: Kubectl, tmp_path: Path) -> None:
    name = f"{kubectl.namespace}-off"
    for obj in bound_to(name, kubectl.namespace):
        where = ["-n", "kube-node-lease"] if obj["kind"] == "Lease" else []
        kubectl("create", *where, "-f", "-", stdin=json.dumps(obj))
    site = site_of(tmp_path, name)
    said: list[str] = []
    async with Client.from_kubeconfig(kubectl.kubeconfig, user_agent="t") as client:
        observed = await steps.observe(site, client, [name])
        (host,) = observed.leaving
        assert (host.reachable, host.alive, host.registered) == (False, False, True)
        assert [pod.key for pod in observed.bound[name].pods] == [f"{kubectl.namespace}/web"]
        told = plan.report(host, observed.bound[name])
        assert told[-1] == f"pod {kubectl.namespace}/web has no controller: it is lost"
        await steps.remove(site, client, host, observed.bound[name], 5, lambda _, what: said.append(what))
        again = await steps.observe(site, client, [name])
        assert not again.leaving[0].registered, "a removal that was cut off is started again"
        await steps.remove(site, client, again.leaving[0], again.bound[name], 5, lambda *_: None)
    assert said == ["deleting what the cluster keeps of it"]
    for kind, where in (
        ("node", ""),
        ("csinode", ""),
        ("lease", "kube-node-lease"),
        ("pod", kubectl.namespace),
    ):
        wanted = "web" if kind == "pod" else name
        arguments = ["get", kind, wanted, *(["-n", where] if where else [])]
        assert "NotFound" in kubectl.fails(*arguments)
    assert "NotFound" in kubectl.fails("get", "volumeattachment", f"csi-{name}")
