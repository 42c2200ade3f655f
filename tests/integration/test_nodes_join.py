"""A host that knows a token and a hash becomes a node, by the steps that hosts take; and the commands for tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kdist.agent.certificates import plan, x509
from kdist.agent.certificates.requests import Asking
from kdist.api import meta, removednodes
from kdist.api.errors import Unauthorized
from kdist.api.kinds import CONFIG_MAPS, NODES, SECRETS
from kdist.cli.token import token as command
from kdist.client import kubeconfig
from kdist.client.rest import Client
from kdist.lifecycle.join import discovery, door, tokens, trust
from kdist.lifecycle.remove import steps
from tests.integration.conftest import Kubectl


def admin(kubectl: Kubectl) -> tuple[bytes, str]:
    """The CA and the server of the administrator's kubeconfig."""
    cluster = yaml.safe_load(kubectl.kubeconfig.read_text())["clusters"][0]["cluster"]
    return base64.b64decode(cluster["certificate-authority-data"]), cluster["server"]


def access(path: Path, authority: bytes, server: str, user: dict[str, str]) -> kubeconfig.Access:
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return kubeconfig.load(path)


async def test_a_host_with_a_token_becomes_a_node_with_both_certificates(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    authority, server = admin(kubectl)
    token, name = tokens.generate(), f"{kubectl.namespace}-n1"
    info = trust.cluster_info(authority, [server], None)
    await door.open_door(str(kubectl.kubeconfig), info, token, [name], 60, False)
    assert await door.open_door(str(kubectl.kubeconfig), info, None, [], 60, False) == [], "once is enough"

    pin = trust.authority_hash(authority)
    async with Client.from_kubeconfig(kubectl.kubeconfig, user_agent="t") as client:
        await _signed(client, token)
    assert discovery.discover([server], token, pin) == authority
    with pytest.raises(discovery.NotTrusted, match="was given"):
        discovery.discover([server], token, f"sha256:{'0' * 64}")

    by_token = access(tmp_path / "bootstrap.conf", authority, server, {"token": token})
    async with Client(by_token, user_agent="t") as client:
        pem = await Asking(plan.client(name)).ask(client)
    (tmp_path / "node.pem").write_bytes(pem)
    user = {"client-certificate": str(tmp_path / "node.pem"), "client-key": str(tmp_path / "node.pem")}
    async with Client(access(tmp_path / "kubelet.conf", authority, server, user), user_agent="t") as client:
        addresses = [{"type": "InternalIP", "address": "192.0.2.77"}, {"type": "Hostname", "address": name}]
        await client.create(NODES, {"metadata": {"name": name}, "status": {"addresses": addresses}})
        served = await x509.read(await Asking(plan.serving(name, ("192.0.2.77",))).ask(client))
    assert served.hosts == (name, "192.0.2.77")
    kubectl("delete", "node", name)


async def _certified(kubectl: Kubectl, directory: Path, name: str) -> Client:
    """A client with a certificate that the node ``name`` gets by a token of its own."""
    authority, server = admin(kubectl)
    token = tokens.generate()
    info = trust.cluster_info(authority, [server], None)
    await door.open_door(str(kubectl.kubeconfig), info, token, [name], 60, False)
    async with Client(
        access(directory / "token.conf", authority, server, {"token": token}), user_agent="t"
    ) as client:
        pem = await Asking(plan.client(name)).ask(client)
    file = directory / f"{tokens.split(token)[0]}.pem"
    file.write_bytes(pem)
    user = {"client-certificate": str(file), "client-key": str(file)}
    return Client(access(directory / "node.conf", authority, server, user), user_agent="t")


async def test_a_removed_node_is_refused_until_it_joins_by_a_token_again(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    name = f"{kubectl.namespace}-n2"
    async with Client.from_kubeconfig(kubectl.kubeconfig, user_agent="t") as client:
        async with await _certified(kubectl, tmp_path, name) as node:
            await node.create(NODES, {"metadata": {"name": name}})
            await steps.refuse(client, name)
            with pytest.raises(Unauthorized, match=f"node {name} was removed from the cluster at"):
                await _refused(node, name)
        secret = await _asked(client, name)
        removed = removednodes.read(secret)
        assert removed is not None and removed.asked
        # Certificates tell their moment in whole seconds.
        await asyncio.sleep(max(0.0, meta.parse_time(removed.moment).timestamp() + 1 - time.time()))
        async with await _certified(kubectl, tmp_path, name) as node:
            assert (await node.get(NODES, name))["metadata"]["name"] == name
        await steps.refuse(client, name)
        again = removednodes.read(await client.get(SECRETS, removednodes.name(name), removednodes.NAMESPACE))
        assert again is not None and again.moment > removed.moment and again.asked == ""
    kubectl("delete", "node", name)
    kubectl("delete", "secret", "-n", removednodes.NAMESPACE, removednodes.name(name))


async def _refused(node: Client, name: str) -> None:
    """Ask until the API server knows of the removal, which its cache hears of a moment later."""
    for _ in range(200):
        await node.get(NODES, name)
        await asyncio.sleep(0.05)


async def _asked(client: Client, name: str) -> dict[str, Any]:
    for _ in range(200):
        secret = await client.get(SECRETS, removednodes.name(name), removednodes.NAMESPACE)
        if removednodes.ASKED in meta.annotations(secret):
            break
        await asyncio.sleep(0.05)
    return secret


async def _signed(client: Client, token: str) -> None:
    """Wait until the bootstrap signer has signed cluster-info."""
    key = f"jws-kubeconfig-{tokens.split(token)[0]}"
    found = await client.get(CONFIG_MAPS, trust.INFO_NAME, trust.INFO_NAMESPACE)
    if key in found["data"]:
        return
    version = found["metadata"]["resourceVersion"]
    events = client.watch(CONFIG_MAPS, trust.INFO_NAMESPACE, resource_version=version, timeout_seconds=30)
    async for event in events:
        if key in event.object.get("data", {}):
            return
    raise AssertionError("cluster-info was not signed within 30 s")


def test_tokens_are_made_listed_without_their_secret_and_deleted(kubectl: Kubectl) -> None:
    authority, server = admin(kubectl)
    replace(kubectl, namespace="kube-public").apply(trust.cluster_info(authority, [server], None))
    given = ["--kubeconfig", str(kubectl.kubeconfig)]
    made = CliRunner().invoke(command, ["create", *given, "--ttl", "2h", "--description", "w7", "-o", "json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.output)
    assert told["caHash"] == trust.authority_hash(authority)
    identity, secret = tokens.split(told["token"])
    listed = CliRunner().invoke(command, ["list", *given]).output
    assert f"{identity}  " in listed
    assert "w7" in listed
    assert secret not in listed
    assert CliRunner().invoke(command, ["delete", told["token"], *given]).output == f"{identity} deleted\n"
    gone = CliRunner().invoke(command, ["delete", identity, *given])
    assert gone.exit_code == 1
    assert "not found" in gone.output
    wrong = CliRunner().invoke(command, ["create", "too.short", *given])
    assert "six characters, a dot and sixteen" in wrong.output
