"""Claims that come and go with their pod."""

from kdist.api import meta
from kdist.controllers.ephemeralvolume.controller import wanted_claims
from tests.unit.controllers.builders import pod


def test_every_ephemeral_volume_has_a_claim_that_the_pod_owns():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "w", "emptyDir": {}}]
    claims = wanted_claims(pod("p", spec={"volumes": volumes}))
    assert [meta.key(claim) for claim in claims] == ["ns/p-v"]
    assert claims[0]["spec"] == template["spec"]
    assert meta.labels(claims[0]) == {"a": "b"}
    owner = meta.controller_of(claims[0])
    assert owner is not None
    assert (owner["kind"], owner["uid"]) == ("Pod", "uid-p")
