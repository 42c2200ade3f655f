"""API levels and feature gates: what is on by default at a level, and what an operator switched.

The table holds upstream's gates of which some part of kdist has a switch, with upstream's history of each: since
which level it is known, whether it is on by default, whether it can still be changed. A gate that the table does
not know is an error, as is one of a later level: an operator who asks for it expects something to happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kdist import __version__

#: The levels of the API that can be served, oldest first.
LEVELS = ("1.32", "1.33")
DEFAULT_LEVEL = "1.32"
#: Switch all gates of a stage that were not named themselves.
_ALL = {"AllAlpha": "ALPHA", "AllBeta": "BETA"}
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def release_of(level: str) -> str:
    """The version that servers and agents tell: the level's first patch release, with kdist's own as build metadata."""
    return f"v{level}.0+kdist.{__version__}"


def numbers(level: str) -> tuple[int, ...]:
    """A level for comparing: ``1.32`` is (1, 32)."""
    return tuple(int(part) for part in level.split("."))


def reached(level: str, since: str) -> bool:
    """Whether ``level`` is ``since`` or later; every level has reached the empty one."""
    return not since or numbers(level) >= numbers(since)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a gate is from a level on. ``name`` is ALPHA, BETA, DEPRECATED, or empty when it is stable."""

    since: str
    name: str
    on: bool
    locked: bool = False


_HISTORY = """
ClusterTrustBundleProjection               1.29 ALPHA off, 1.33 BETA off
ContainerStopSignals                       1.33 ALPHA off
CoordinatedLeaderElection                  1.31 ALPHA off, 1.33 BETA off
CrossNamespaceVolumeDataSource             1.26 ALPHA off
DeploymentReplicaSetTerminatingReplicas    1.33 ALPHA off
DisableNodeKubeProxyVersion                1.31 DEPRECATED off, 1.33 DEPRECATED on
DynamicResourceAllocation                  1.26 ALPHA off, 1.32 BETA off
HPAConfigurableTolerance                   1.33 ALPHA off
HPAScaleToZero                             1.16 ALPHA off
ImageVolume                                1.31 ALPHA off, 1.33 BETA off
InPlacePodVerticalScaling                  1.27 ALPHA off, 1.33 BETA on
JobBackoffLimitPerIndex                    1.29 BETA on, 1.33 GA on locked
JobManagedBy                               1.32 BETA on
JobPodReplacementPolicy                    1.29 BETA on
JobSuccessPolicy                           1.31 BETA on, 1.33 GA on locked
MatchLabelKeysInPodAffinity                1.31 BETA on, 1.33 GA on locked
MatchLabelKeysInPodTopologySpread          1.27 BETA on
MaxUnavailableStatefulSet                  1.24 ALPHA off
MutatingAdmissionPolicy                    1.32 ALPHA off
MultiCIDRServiceAllocator                  1.33 GA on
MutableCSINodeAllocatableCount             1.33 ALPHA off
NodeInclusionPolicyInPodTopologySpread     1.26 BETA on, 1.33 GA on locked
OrderedNamespaceDeletion                   1.30 BETA off, 1.33 BETA on
PodLevelResources                          1.32 ALPHA off
PodLifecycleSleepActionAllowZero           1.32 ALPHA off, 1.33 BETA on
PreferSameTrafficDistribution              1.33 ALPHA off
ProcMountType                              1.12 ALPHA off, 1.31 BETA off, 1.33 BETA on
RecursiveReadOnlyMounts                    1.31 BETA on, 1.33 GA on locked
RelaxedDNSSearchValidation                 1.32 ALPHA off, 1.33 BETA on
SELinuxChangePolicy                        1.32 ALPHA off, 1.33 BETA on
ServiceAccountNodeAudienceRestriction      1.32 BETA off, 1.33 BETA on
ServiceTrafficDistribution                 1.31 BETA on, 1.33 GA on locked
SidecarContainers                          1.29 BETA on, 1.33 GA on locked
SupplementalGroupsPolicy                   1.31 ALPHA off, 1.33 BETA on
UserNamespacesSupport                      1.25 ALPHA off, 1.30 BETA off, 1.33 BETA on
VolumeAttributesClass                      1.29 ALPHA off, 1.31 BETA off
"""


def _stages(text: str) -> tuple[Stage, ...]:
    stages = []
    for part in text.split(","):
        since, name, state, *locked = part.split()
        stages.append(Stage(since, "" if name == "GA" else name, state == "on", bool(locked)))
    return tuple(stages)


#: The history of every gate, oldest stage first.
GATES: dict[str, tuple[Stage, ...]] = {
    row.split(maxsplit=1)[0]: _stages(row.split(maxsplit=1)[1]) for row in _HISTORY.split("\n") if row
}


def stage_of(gate: str, level: str) -> Stage | None:
    """What a gate is at a level; None when it is not known there."""
    return next((s for s in reversed(GATES.get(gate, ())) if reached(level, s.since)), None)


class Features:
    """The gates of one level as they are set. Immutable; equal settings are interchangeable."""

    __slots__ = ("_on", "level", "switched")

    def __init__(self, level: str = DEFAULT_LEVEL, switched: dict[str, bool] | None = None) -> None:
        self.level = level
        #: What was set, by gate, in place of the defaults.
        self.switched = dict(switched or {})
        self._on = frozenset(gate for gate, stage in self.known() if self._state(gate, stage))

    @classmethod
    def parse(cls, level: str, pairs: Iterable[str]) -> Features:
        """From ``GATE=true|false`` texts, of which a later one wins. Raises ValueError that names what is wrong."""
        if level not in LEVELS:
            raise ValueError(f"api-level {level} cannot be served: must be one of {', '.join(LEVELS)}")
        switched: dict[str, bool] = {}
        for pair in pairs:
            gate, equals, text = (part.strip() for part in pair.partition("="))
            if not equals:
                raise ValueError(f"feature gate {gate}: a value is missing; say {gate}=true or {gate}=false")
            value = _TRUTHS.get(text.lower())
            if value is None:
                raise ValueError(f"feature gate {gate}: {text!r} is neither true nor false")
            switched[gate] = value
        for gate, value in switched.items():
            check(level, gate, value)
        return cls(level, switched)

    def known(self) -> Iterator[tuple[str, Stage]]:
        """The gates of this level with their present stage."""
        for gate in GATES:
            if (stage := stage_of(gate, self.level)) is not None:
                yield gate, stage

    def _state(self, gate: str, stage: Stage) -> bool:
        if gate in self.switched:
            return self.switched[gate]
        for every, name in _ALL.items():
            if stage.name == name and every in self.switched:
                return self.switched[every]
        return stage.on

    def __call__(self, gate: str) -> bool:
        """Whether a gate is on; one that this level does not know is off."""
        assert gate in GATES, f"unknown gate {gate}"
        return gate in self._on

    def reached(self, since: str) -> bool:
        """Whether the level is ``since`` or later."""
        return reached(self.level, since)


def check(level: str, gate: str, value: bool) -> None:
    """Refuse what cannot be set at a level. Raises ValueError that names the gate and the reason."""
    if gate in _ALL:
        return
    stage = stage_of(gate, level)
    if stage is None:
        later = f": it is known from {GATES[gate][0].since} on" if gate in GATES else ""
        raise ValueError(f"unrecognized feature gate: {gate} (API level {level}){later}")
    if stage.locked and value is not stage.on:
        told = str(stage.on).lower()
        raise ValueError(
            f"cannot set feature gate {gate} to {str(value).lower()}, feature is locked to {told}"
        )


#: The default level with its defaults.
DEFAULT = Features()
