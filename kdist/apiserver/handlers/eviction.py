"""Evicting a pod: a deletion that its disruption budget must allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kdist.api import meta
from kdist.api.errors import BadRequest, Cause, Forbidden, InternalError, TooManyRequests
from kdist.api.kinds import POD_DISRUPTION_BUDGETS
from kdist.api.meta import Obj
from kdist.api.pods import is_ready, is_terminal, set_condition
from kdist.api.selectors import from_label_selector
from kdist.apiserver import deletion, objectmeta
from kdist.apiserver.call import Call
from kdist.apiserver.deletion import Options
from kdist.apiserver.handlers.binding import SUCCESS
from kdist.apiserver.handlers.delete import delete_object
from kdist.apiserver.loopback import resource_of
from kdist.apiserver.store import Store

RETRY_SECONDS = 10
_DISRUPTED_LIMIT = 2000  # pods in a budget's status before its controller must catch up


async def create(call: Call) -> None:
    """POST to ``pods/NAME/eviction``."""
    eviction = await call.read_kind("policy/v1", "Eviction", formerly="policy/v1beta1")
    metadata = objectmeta.check_place(eviction, call.namespace)
    if metadata.get("name") != call.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    act = call.act()
    options = Options.parse(eviction.get("deleteOptions") or {})
    options = replace(options, dry_run=options.dry_run or act.dry_run)
    act = replace(act, dry_run=options.dry_run)
    review = call.pipeline.review(
        act, "create", obj={**eviction, "metadata": _coordinates(call)}, subresource="eviction"
    )
    await call.pipeline.admission.admit(review)
    await call.pipeline.admission.validate(review)
    pod = await call.store.get(call.namespace, call.name)
    deletion.check_preconditions(pod, options)
    if not _needs_no_budget(pod):
        await _spend_budget(call, pod, dry_run=options.dry_run)
    options = replace(options, uid=options.uid or meta.uid(pod))
    await call.store.modify(call.namespace, call.name, _disruption(options), dry_run=options.dry_run)
    options = replace(options, resource_version="")  # it held a moment ago, and the pod is a new version now
    await delete_object(call.pipeline, call.namespace, call.name, options, act)
    await call.reply(dict(SUCCESS), 201)


def _disruption(options: Options) -> Callable[[Obj], Obj]:
    """Says on a pod that its end is not its own fault: a Job's failure policy may go by that. Conflict."""

    def disrupt(pod: Obj) -> Obj:
        deletion.check_preconditions(pod, options)
        set_condition(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
        return pod

    return disrupt


def _coordinates(call: Call) -> Obj:
    return {"name": call.name, "namespace": call.namespace}


def _needs_no_budget(pod: Obj) -> bool:
    """A pod that has finished, has not begun or goes anyway disrupts nothing."""
    phase: str = meta.get(pod, "status.phase", "Pending")
    return phase == "Pending" or is_terminal(pod) or meta.is_deleting(pod)


async def _spend_budget(call: Call, pod: Obj, *, dry_run: bool) -> None:
    budgets = call.core.store(resource_of(call.core, POD_DISRUPTION_BUDGETS))
    matching = await _budgets_of(budgets, pod)
    if len(matching) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    if not matching or (not is_ready(pod) and _lets_unready_go(matching[0])):
        return
    await budgets.modify(call.namespace, meta.name(matching[0]), spending(meta.name(pod)), dry_run=dry_run)


async def _budgets_of(budgets: Store, pod: Obj) -> list[Obj]:
    cache = await budgets.fresh_cache()
    found = [budgets.read(entry) for entry in cache.entries(f"{meta.namespace(pod)}/")]
    labels = meta.labels(pod)
    return [b for b in found if from_label_selector(meta.get(b, "spec.selector")).matches(labels)]


def _lets_unready_go(budget: Obj) -> bool:
    """Whether a pod that is not ready may go without counting."""
    if meta.get(budget, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    healthy: int = status.get("currentHealthy", 0)
    return bool(desired > 0 and healthy >= desired)


def spending(pod_name: str) -> Callable[[Obj], Obj]:
    """Takes one disruption from a budget for the pod. TooManyRequests or Forbidden when it has none."""

    def spend(budget: Obj) -> Obj:
        name, status = meta.name(budget), budget.setdefault("status", {})
        generation = budget["metadata"].get("generation", 0)
        if status.get("observedGeneration", 0) < generation:
            raise _too_many(
                f"The disruption budget {name} is still being processed by the server.",
                retryAfterSeconds=RETRY_SECONDS,
            )
        allowed = status.get("disruptionsAllowed", 0)
        if allowed < 0:
            raise Forbidden(
                f'poddisruptionbudgets.policy "{name}" is forbidden: pdb disruptions allowed is negative'
            )
        disrupted = status.setdefault("disruptedPods", {})
        if len(disrupted) > _DISRUPTED_LIMIT:
            raise Forbidden(
                f'poddisruptionbudgets.policy "{name}" is forbidden: DisruptedPods map too big - too many evictions '
                "not confirmed by PDB controller"
            )
        if not allowed:
            raise _too_many(
                f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
                f"{status.get('currentHealthy', 0)} currently"
            )
        status["disruptionsAllowed"] = allowed - 1
        disrupted[pod_name] = meta.now()
        return budget

    return spend


def _too_many(why: str, **details: int) -> TooManyRequests:
    """Clients wait by themselves when told for how long; how long a budget stays spent nobody knows."""
    return TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=(Cause("", why, "DisruptionBudget"),),
        details=details,
    )
