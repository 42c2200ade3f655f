"""A node's two certificates put together: when the API may be called, and when the port may be opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kdist.agent.certificates.identity import Identity
from kdist.client.rest import Client
from kdist.config.agent import AgentSettings
from kdist.pki import issue, plan

AUTHORITY = issue.create_authority(plan.CLUSTER_CA)
NODE = plan.Host("w1", "10.0.0.9", control_plane=False)


def settings(directory: Path) -> AgentSettings:
    pair = issue.issue(plan.node_client(NODE), AUTHORITY)
    for name in ("kubelet-client-current.pem", "kubelet-server-current.pem"):
        (directory / name).write_bytes(pair.certificate + pair.key)
    current = str(directory / "kubelet-client-current.pem")
    urls = ("https://127.0.0.1:1", "https://10.0.0.9:6443")
    text = issue.kubeconfig("c", "u", urls, AUTHORITY.certificate, issue.by_file(current))
    (directory / "kubelet.conf").write_bytes(text)
    return AgentSettings(
        kubeconfig=directory / "kubelet.conf",
        bootstrap_kubeconfig=directory / "bootstrap.conf",
        cert_dir=directory,
        rotate_certificates=True,
        rotate_server_certificates=True,
    )


async def test_a_node_that_has_its_certificates_begins_with_them(tmp_path: Path) -> None:
    given = settings(tmp_path)
    async with Client(None, user_agent="t") as client:
        identity = Identity(given, client, "w1", ("10.0.0.9",))
        tasks = [asyncio.create_task(k.run()) for k in (identity.client_keeper, identity.serving_keeper) if k]
        certificate, key = await identity.serving_certificate(given)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert certificate == key == tmp_path / "kubelet-server-current.pem"


async def test_the_port_does_not_open_with_a_certificate_that_is_broken(tmp_path: Path) -> None:
    given = settings(tmp_path)
    (tmp_path / "kubelet-server-current.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    async with Client(None, user_agent="t") as client:
        identity = Identity(given, client, "w1", ("10.0.0.9",))
        assert identity.serving_keeper is not None
        task = asyncio.create_task(identity.serving_keeper.run())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await identity.serving_certificate(given)
        assert not task.done(), "it asks for another one"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
