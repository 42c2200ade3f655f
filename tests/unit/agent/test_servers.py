"""Where the API servers are: what the cluster tells comes first, what the kubeconfig lists last."""

from pathlib import Path

import pytest

from kdist.agent import servers
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.kubeconfig import KubeconfigError
from kdist.lifecycle.join import trust

A, B, C = (f"https://10.0.0.{n}:6443" for n in (1, 2, 3))


class Api:
    def __init__(self, info: Obj) -> None:
        self.info = info

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        return self.info


def test_a_control_plane_tries_its_own_server_first() -> None:
    assert servers.order((A, B), (A,), ("10.0.0.2",)) == (B, A)


def test_what_the_cluster_does_not_tell_comes_last() -> None:
    assert servers.order((C, B), (A, B), ("10.0.0.9",)) == (C, B, A)
    assert servers.order((), (A, B), ()) == (A, B)


async def test_what_is_told_is_kept_for_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "api-servers"
    assert servers.read(file) == ()
    await servers.Servers(Api(trust.cluster_info(b"ca", [A, C], None)), file).look()
    assert servers.read(file) == (A, C)


async def test_a_map_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "api-servers"
    file.write_text(f"{A}\n")
    with pytest.raises(KubeconfigError):
        await servers.Servers(Api({"data": {"kubeconfig": "clusters: []"}}), file).look()
    assert servers.read(file) == (A,)
