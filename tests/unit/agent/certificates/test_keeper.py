"""A node's certificate: asked for when there is none, taken into use, renewed in time, kept through failures."""

from __future__ import annotations

import asyncio
import base64
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as crypto
from cryptography.hazmat.primitives.serialization import Encoding

from kdist.agent.certificates import plan, requests, x509
from kdist.agent.certificates.keeper import Keeper, Places
from kdist.agent.certificates.plan import Found
from kdist.api.errors import Forbidden
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.controllers.certificates.authority import Authority
from kdist.pki import issue
from kdist.pki.plan import CLUSTER_CA, LeafSpec

NOW = datetime.datetime.now(datetime.UTC)
YEAR = datetime.timedelta(days=365)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    pair, directory = issue.create_authority(CLUSTER_CA), tmp_path_factory.mktemp("ca")
    (directory / "ca.crt").write_bytes(pair.certificate)
    (directory / "ca.key").write_bytes(pair.key)
    return Authority.load(directory / "ca.crt", directory / "ca.key")


class Api:
    """A cluster that signs at once, or answers as ``answers`` say."""

    def __init__(self, authority: Authority, *answers: Obj | Exception) -> None:
        self.authority, self.answers = authority, list(answers)
        self.asked: list[Obj] = []

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None) -> Obj:
        self.asked.append(obj)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {"metadata": {"name": "csr-1"}, "status": answer}
        return {"metadata": {"name": "csr-1"}, "status": {"certificate": self.sign(obj["spec"])}}

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        return {"metadata": {"name": name}, "status": {"certificate": self.sign(self.asked[-1]["spec"])}}

    def sign(self, spec: Obj, life: datetime.timedelta = YEAR) -> str:
        parsed = crypto.load_pem_x509_csr(base64.b64decode(spec["request"]))
        return base64.b64encode(self.authority.sign(parsed, spec["usages"], life, NOW)).decode()


async def made(authority: Authority, begins: datetime.timedelta, life: datetime.timedelta) -> bytes:
    """A certificate of w1 with its key, signed some time ago."""
    key, pem = await x509.request(plan.client("w1"))
    request = crypto.load_pem_x509_csr(pem)
    return authority.sign(request, ["client auth"], life, NOW - begins) + key


@asynccontextmanager
async def kept(
    directory: Path, api: Api, authorities: Path | None = None
) -> AsyncIterator[tuple[Keeper, asyncio.Queue[bytes]]]:
    """A keeper at work, and what is adopted."""
    adopted: asyncio.Queue[bytes] = asyncio.Queue()

    def noted(file: Path) -> None:
        adopted.put_nowait(file.read_bytes())

    asking = requests.Asking(plan.client("w1"))

    async def ask(_: Found | None) -> bytes:
        return await asking.ask(api)

    keeper = Keeper(plan.client("w1"), Places(directory, authorities), ask, noted, settle_seconds=0)
    task = asyncio.create_task(keeper.run())
    yield keeper, adopted
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_first_certificate_is_asked_for_and_taken_into_use(
    authority: Authority, tmp_path: Path
) -> None:
    api = Api(authority)
    async with kept(tmp_path, api) as (keeper, adopted):
        found = await x509.read(await adopted.get())
        assert found.common_name == "system:node:w1"
        assert keeper.file.stat().st_mode & 0o777 == 0o600
    (asked,) = api.asked
    assert asked["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"


async def test_one_that_serves_is_kept(authority: Authority, tmp_path: Path) -> None:
    api, pem = Api(authority), await made(authority, datetime.timedelta(0), YEAR)
    (tmp_path / "kubelet-client-current.pem").write_bytes(pem)
    async with kept(tmp_path, api) as (_, adopted):
        assert await adopted.get() == pem
    assert api.asked == []


async def test_one_near_its_end_serves_until_its_successor_is_there(
    authority: Authority, tmp_path: Path
) -> None:
    api = Api(authority)
    old = await made(authority, datetime.timedelta(days=95), datetime.timedelta(days=100))
    (tmp_path / "kubelet-client-current.pem").write_bytes(old)
    async with kept(tmp_path, api) as (_, adopted):
        assert await adopted.get() == old
        assert await adopted.get() != old
    assert len(api.asked) == 1


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nx\n"])
async def test_a_broken_file_is_replaced(authority: Authority, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kubelet-client-current.pem").write_bytes(content)
    async with kept(tmp_path, Api(authority)) as (_, adopted):
        assert await adopted.get() == content, "at the start it is believed"
        assert (await x509.read(await adopted.get())).common_name == "system:node:w1"


async def test_a_refusal_is_tried_again(authority: Authority, tmp_path: Path) -> None:
    denied = {"conditions": [{"type": "Denied", "message": "not today"}]}
    api = Api(authority, Forbidden("not yet"), denied)
    async with kept(tmp_path, api) as (_, adopted):
        await adopted.get()
    assert len(api.asked) == 3
    keys = [asked["spec"]["request"] for asked in api.asked]
    assert keys[0] == keys[1] != keys[2], "a denied request is not made again with the same key"


async def test_a_poked_keeper_sees_that_the_file_was_exchanged(authority: Authority, tmp_path: Path) -> None:
    api = Api(authority)
    async with kept(tmp_path, api) as (keeper, adopted):
        await adopted.get()
        mine = await made(authority, datetime.timedelta(0), YEAR)
        keeper.file.write_bytes(mine)
        keeper.poke()
        assert await adopted.get() == mine


async def test_a_denied_request_is_told_with_its_reason(authority: Authority) -> None:
    denied: dict[str, Any] = {"conditions": [{"type": "Denied", "message": "not today"}]}
    with pytest.raises(requests.NotIssued, match="csr-1 was denied: not today"):
        await requests.Asking(plan.client("w1")).ask(Api(authority, denied))


async def test_a_key_of_another_certificate_is_no_pair(authority: Authority) -> None:
    key, _ = await x509.request(plan.client("w1"))
    other = await made(authority, datetime.timedelta(0), YEAR)
    with pytest.raises(x509.Unusable, match="do not belong together"):
        await x509.read(issue.split(other).certificate + key)


async def test_one_of_a_former_authority_is_renewed(authority: Authority, tmp_path: Path) -> None:
    other = issue.create_authority(CLUSTER_CA)
    former = issue.issue(LeafSpec("n", "ca", "system:node:w1", None), other)
    (tmp_path / "kubelet-client-current.pem").write_bytes(former.certificate + former.key)
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(authority.certificate.public_bytes(Encoding.PEM) + other.certificate)
    async with kept(tmp_path, Api(authority), bundle) as (_, adopted):
        assert await adopted.get() == former.certificate + former.key
        assert (await x509.read(await adopted.get(), bundle.read_bytes())).present


async def test_an_operator_may_ask_for_renewal(authority: Authority, tmp_path: Path) -> None:
    api, pem = Api(authority), await made(authority, datetime.timedelta(days=1), YEAR)
    (tmp_path / "kubelet-client-current.pem").write_bytes(pem)
    async with kept(tmp_path, api) as (keeper, adopted):
        assert await adopted.get() == pem
        (tmp_path / "renew-issued-before").write_text(f"{NOW.timestamp():.0f}\n")
        keeper.poke()
        assert await adopted.get() != pem
