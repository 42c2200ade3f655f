"""Scales workloads so that what is measured of their pods stays near what their autoscaler wants."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime

from kdist.api import meta, pods, selectors
from kdist.api.errors import ApiError, Conflict, NotFound
from kdist.api.kinds import PODS, Kind
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.podautoscaler import behavior
from kdist.controllers.podautoscaler.behavior import History, Verdict
from kdist.controllers.podautoscaler.measurements import Measurements
from kdist.controllers.podautoscaler.proposals import MetricFailed, Proposal, Proposals, Target
from kdist.controllers.podautoscaler.scale import Scales
from kdist.controllers.pods import utc_now

AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SYNC_SECONDS = 15.0


class _Round:
    """One look at an autoscaler: the status as it becomes."""

    def __init__(self, autoscaler: Obj, now: datetime) -> None:
        self.spec, self.namespace, self.now = autoscaler["spec"], meta.namespace(autoscaler), now
        self._obj: Obj = {"status": deepcopy(autoscaler.get("status") or {})}
        self.status: Obj = self._obj["status"]
        self.status["observedGeneration"] = meta.get(autoscaler, "metadata.generation", 1)

    def condition(self, type: str, holds: bool, reason: str, message: str) -> None:
        """Set AbleToScale, ScalingActive or ScalingLimited."""
        pods.set_condition(self._obj, type, "True" if holds else "False", reason, message)


class HorizontalPodAutoscalerController(Controller):
    """One key is one HorizontalPodAutoscaler, looked at every 15 seconds."""

    name = "horizontal-pod-autoscaler-controller"
    component = "horizontal-pod-autoscaler"

    def setup(self) -> None:
        """Watch autoscalers and pods."""
        self._autoscalers = self.watch(AUTOSCALERS, self._autoscaler_changed)
        self._pods = self.watch(PODS)
        self._scales = Scales(self.client)
        self._proposals = Proposals(Measurements(self.client), self._scales.find)
        self._histories: dict[str, History] = {}

    def _autoscaler_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self.enqueue(old, new)

    async def reconcile(self, key: str) -> float | None:
        """Measure, decide, scale, report."""
        autoscaler = self._autoscalers.get(key)
        if autoscaler is None or meta.is_deleting(autoscaler):
            self._histories.pop(key, None)
            return None
        round = _Round(autoscaler, utc_now())
        history = self._histories.setdefault(key, History())
        history.forget(round.now)
        await self._look(autoscaler, round, history)
        if round.status != (autoscaler.get("status") or {}):
            try:
                wanted = {**autoscaler, "status": round.status}
                await self.client.update(AUTOSCALERS, wanted, subresource="status")
            except NotFound:
                return None
        return SYNC_SECONDS

    async def _look(self, autoscaler: Obj, round: _Round, history: History) -> None:
        ref = round.spec["scaleTargetRef"]
        try:
            scale = await self._scales.read(round.namespace, ref)
        except ApiError as error:
            told = f"the HPA controller was unable to get the target's current scale: {error}"
            round.condition("AbleToScale", False, "FailedGetScale", told)
            self.events.event(autoscaler, "Warning", "FailedGetScale", str(error))
            return
        told = "the HPA controller was able to get the target's current scale"
        round.condition("AbleToScale", True, "SucceededGetScale", told)
        current = meta.get(scale, "spec.replicas", 0)
        round.status["currentReplicas"] = meta.get(scale, "status.replicas", 0)
        try:
            wanted, why = await self._decide(autoscaler, round, history, scale)
        except MetricFailed as failure:
            told = f"the HPA was unable to compute the replica count: {failure}"
            round.condition("ScalingActive", False, failure.reason, told)
            self.events.event(autoscaler, "Warning", failure.reason, str(failure))
            round.status["desiredReplicas"] = current
            return
        round.status["desiredReplicas"] = wanted
        if wanted != current:
            await self._rescale(autoscaler, round, history, scale, wanted, why)

    async def _decide(self, autoscaler: Obj, round: _Round, history: History, scale: Obj) -> tuple[int, str]:
        """How many replicas, and why. Raises MetricFailed."""
        current, spec = meta.get(scale, "spec.replicas", 0), round.spec
        least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
        if current == 0 and least != 0:
            told = "scaling is disabled since the replica count of the target is zero"
            round.condition("ScalingActive", False, "ScalingDisabled", told)
            return 0, ""
        if current > most:
            return most, "Current number of replicas above Spec.MaxReplicas"
        if current < least:
            return least, "Current number of replicas below Spec.MinReplicas"
        proposal = await self._best(autoscaler, round, scale)
        verdict = behavior.stabilized(spec, history, current, proposal.replicas, round.now)
        _tell_stabilization(round, verdict)
        limit = behavior.limited(spec, history, current, verdict.replicas, round.now)
        if limit.reason:
            round.condition("ScalingLimited", True, limit.reason, limit.message)
        else:
            told = "the desired count is within the acceptable range"
            round.condition("ScalingLimited", False, "DesiredWithinRange", told)
        if limit.replicas < current:
            return limit.replicas, "All metrics below target"
        return limit.replicas, f"{proposal.because} above target"

    async def _best(self, autoscaler: Obj, round: _Round, scale: Obj) -> Proposal:
        """The largest proposal. When a metric fails, the others may ask for more replicas but not for fewer."""
        target = self._target(round, scale)
        made: list[Proposal] = []
        failures: list[MetricFailed] = []
        for metric in round.spec.get("metrics") or ():
            try:
                made.append(await self._proposals.of(metric, target))
            except MetricFailed as failure:
                failures.append(failure)
        round.status["currentMetrics"] = [proposal.current for proposal in made]
        best = max(made, key=lambda p: p.replicas, default=None)
        if best is None or (failures and best.replicas < target.replicas):
            if not failures:
                raise MetricFailed("InvalidMetrics", "the autoscaler has no metrics")
            told = f"invalid metrics ({len(failures)} invalid out of {len(failures) + len(made)}), first error is: "
            raise MetricFailed(failures[0].reason, f"{told}{failures[0]}")
        told = f"the HPA was able to successfully calculate a replica count from {best.because}"
        round.condition("ScalingActive", True, "ValidMetricFound", told)
        return best

    def _target(self, round: _Round, scale: Obj) -> Target:
        text = meta.get(scale, "status.selector", "")
        if not text:
            raise MetricFailed("InvalidSelector", "the HPA target's scale is missing a selector")
        selector = selectors.parse_label_selector(text)
        matching = [p for p in self._pods.list(round.namespace) if selector.matches(meta.labels(p))]
        wanted, running = (meta.get(scale, f"{part}.replicas", 0) for part in ("spec", "status"))
        return Target(round.namespace, text, matching, wanted, running, round.now)

    async def _rescale(
        self, autoscaler: Obj, round: _Round, history: History, scale: Obj, wanted: int, why: str
    ) -> None:
        current = meta.get(scale, "spec.replicas", 0)
        try:
            await self._scales.write(round.namespace, round.spec["scaleTargetRef"], scale, wanted)
        except Conflict:
            raise  # somebody changed the target just now: look again at once
        except ApiError as error:
            told = f"the HPA controller was unable to update the target scale: {error}"
            round.condition("AbleToScale", False, "FailedUpdateScale", told)
            text = f"New size: {wanted}; reason: {why}; error: {error}"
            self.events.event(autoscaler, "Warning", "FailedRescale", text)
            round.status["desiredReplicas"] = current
            return
        told = f"the HPA controller was able to update the target scale to {wanted}"
        round.condition("AbleToScale", True, "SucceededRescale", told)
        self.events.event(autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        round.status["lastScaleTime"] = round.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        history.rescaled(current, wanted, round.now)


def _tell_stabilization(round: _Round, verdict: Verdict) -> None:
    if verdict.reason:
        round.condition("AbleToScale", True, verdict.reason, verdict.message)
    else:
        told = "recommended size matches current size"
        round.condition("AbleToScale", True, "ReadyForNewScale", told)
