"""Charging quotas: all or nothing, one after another, whoever else writes."""

import asyncio
import copy

import pytest

from kdist.api.errors import Conflict, Forbidden
from kdist.api.kinds import CONFIG_MAPS
from kdist.apiserver.admission import Request
from kdist.apiserver.admission.resourcequota import ResourceQuota
from kdist.apiserver.authn.user import User


class Quotas:
    """A registry of quotas and a cache of it that lags behind until told to catch up."""

    def __init__(self, *quotas):
        self.stored = {q["metadata"]["name"]: q for q in quotas}
        self.cached = copy.deepcopy(self.stored)
        self.interruptions = 0

    def list(self, kind, namespace=None):
        return list(copy.deepcopy(self.cached).values())

    async def get(self, kind, namespace, name):
        return copy.deepcopy(self.stored[name])

    async def update(self, kind, obj, *, subresource=None):
        await asyncio.sleep(0)
        name = obj["metadata"]["name"]
        current = self.stored[name]["metadata"]["resourceVersion"]
        if self.interruptions:
            self.interruptions -= 1
            self._store(self.stored[name], current)
            raise Conflict("modified")
        if obj["metadata"]["resourceVersion"] != current:
            raise Conflict("modified")
        return self._store(obj, current)

    def _store(self, obj, current):
        stored = copy.deepcopy(obj)
        stored["metadata"]["resourceVersion"] = str(int(current) + 1)
        self.stored[obj["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    def used(self, name):
        return self.stored[name]["status"]["used"]["configmaps"]


def quota(name, hard, used="0"):
    return {
        "metadata": {"name": name, "namespace": "team", "resourceVersion": "1"},
        "spec": {"hard": {"configmaps": hard}},
        "status": {"hard": {"configmaps": hard}, "used": {"configmaps": used}},
    }


def creation(**more):
    obj = {"metadata": {"name": "m", "namespace": "team"}}
    return Request(
        user=User("jane"), verb="create", resource=CONFIG_MAPS, namespace="team", name="m", obj=obj, **more
    )


async def test_of_many_at_once_only_as_many_as_fit_get_in():
    quotas = Quotas(quota("q", "3"))
    plugin = ResourceQuota(quotas, quotas)
    outcomes = await asyncio.gather(*(plugin.validate(creation()) for _ in range(8)), return_exceptions=True)
    assert sum(o is None for o in outcomes) == 3
    assert quotas.used("q") == "3"


async def test_refusal_tells_what_was_asked_used_and_allowed():
    quotas = Quotas(quota("q", "2", used="2"))
    with pytest.raises(Forbidden) as refused:
        await ResourceQuota(quotas, quotas).validate(creation())
    assert refused.value.message == (
        'configmaps "m" is forbidden: exceeded quota: q, requested: configmaps=1, '
        "used: configmaps=2, limited: configmaps=2"
    )


async def test_one_refusing_quota_leaves_the_others_uncharged():
    quotas = Quotas(quota("a", "9"), quota("b", "0"))
    with pytest.raises(Forbidden):
        await ResourceQuota(quotas, quotas).validate(creation())
    assert quotas.used("a") == "0"


async def test_lost_race_is_run_again_on_the_newest_state():
    quotas = Quotas(quota("q", "3"))
    quotas.interruptions = 2
    await ResourceQuota(quotas, quotas).validate(creation())
    assert quotas.used("q") == "1"


async def test_dry_run_charges_nothing():
    quotas = Quotas(quota("q", "3"))
    await ResourceQuota(quotas, quotas).validate(creation(dry_run=True))
    assert quotas.used("q") == "0"
