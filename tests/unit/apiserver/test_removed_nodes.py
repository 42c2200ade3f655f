"""A certificate that a node had when it was removed is believed no more; one that it got later is."""

import asyncio
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kdist.api import removednodes
from kdist.api.errors import Conflict, Unauthorized, not_found
from kdist.api.kinds import SECRETS
from kdist.apiserver.authn.certificates import Authority
from kdist.apiserver.authn.removednodes import NOTE_SECONDS, AskNotes, RemovedNodes
from kdist.pki import issue, plan

AUTHORITY = issue.create_authority(plan.CLUSTER_CA)


def certificate(node: str) -> bytes:
    """DER, issued now."""
    pair = issue.issue(plan.node_client(plan.Host(node, "10.0.0.9", False)), AUTHORITY)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


def moment(seconds: float) -> str:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return f"{then:%Y-%m-%dT%H:%M:%SZ}"


class Secrets:
    """A watch cache, and a registry when it is asked for."""

    def __init__(self, *secrets):
        self.of = {s["metadata"]["name"]: s for s in secrets}
        self.error = None

    def get(self, kind, namespace, name):
        assert (kind, namespace) == (SECRETS, "kube-system")
        return self.of.get(name)


class Registry(Secrets):
    async def get(self, kind, namespace, name):
        if name not in self.of:
            raise not_found(kind.group, kind.plural, name)
        return self.of[name]

    async def update(self, kind, obj, *, subresource=None):
        if self.error:
            raise self.error
        self.of[obj["metadata"]["name"]] = obj
        return obj


def authority(*secrets, asked=lambda node: None):
    return Authority(AUTHORITY.certificate, RemovedNodes(Secrets(*secrets), asked).check)


def test_a_certificate_from_before_the_removal_is_refused_and_says_what_to_do():
    asked = []
    judged = authority(removednodes.secret("w2", moment(1)), asked=asked.append)
    with pytest.raises(Unauthorized, match=r"w2 was removed from the cluster at .* site\.yml --limit w2"):
        judged.user(certificate("w2"))
    with pytest.raises(Unauthorized) as refused:
        judged.user(certificate("w2"))
    assert refused.value.details["kind"] == removednodes.REFUSED
    assert asked[:1] == ["w2"]


def test_a_certificate_from_after_the_removal_and_other_nodes_are_let_in():
    judged = authority(removednodes.secret("w2", moment(-2)), removednodes.secret("w3", moment(1)))
    assert judged.user(certificate("w2")).node_name == "w2"
    assert judged.user(certificate("w22")).node_name == "w22"


def test_only_secrets_of_the_type_refuse():
    other = {**removednodes.secret("w2", moment(1)), "type": "Opaque"}
    assert authority(other).user(certificate("w2")).node_name == "w2"


def test_a_moment_that_cannot_be_read_is_that_of_the_secret():
    secret = removednodes.secret("w2", "yesterday")
    secret["metadata"]["creationTimestamp"] = moment(1)
    with pytest.raises(Unauthorized):
        authority(secret).user(certificate("w2"))


async def test_who_asks_is_noted_once_in_a_while(drained):
    now = [1_700_000_000.0]
    registry = Registry(removednodes.secret("w2", moment(0)))
    notes = AskNotes(registry, clock=lambda: now[0])
    for _ in range(3):
        notes.asked("w2")
    await drained(notes)
    assert removednodes.read(registry.of["removed-node-w2"]).asked == "2023-11-14T22:13:20Z"
    now[0] += NOTE_SECONDS
    notes.asked("w2")
    await drained(notes)
    assert removednodes.read(registry.of["removed-node-w2"]).asked == "2023-11-14T22:18:20Z"


@pytest.mark.parametrize("error", [Conflict("changed"), None])
async def test_a_note_that_another_server_wrote_or_nobody_needs_is_left(drained, error):
    registry = Registry(*([removednodes.secret("w2", moment(0))] if error else []))
    registry.error = error
    notes = AskNotes(registry)
    notes.asked("w2")
    await drained(notes)


@pytest.fixture
def drained():
    """Let notes write what they have."""

    async def drain(notes):
        task = asyncio.create_task(notes.run())
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    return drain
