"""Feature gates have upstream's defaults at each level, and what is set wrongly is named."""

from __future__ import annotations

import pytest

from kdist.api.features import GATES, LEVELS, Features, stage_of


def test_a_level_brings_its_defaults() -> None:
    older, newer = Features("1.32"), Features("1.33")
    assert not older("UserNamespacesSupport") and newer("UserNamespacesSupport")
    assert not older("InPlacePodVerticalScaling") and newer("InPlacePodVerticalScaling")
    assert older("SidecarContainers") and newer("SidecarContainers")
    assert not older("ImageVolume") and not newer("ImageVolume")


def test_a_gate_is_switched_by_name() -> None:
    features = Features.parse("1.32", ["ImageVolume=true", "JobManagedBy=False", "ImageVolume = true"])
    assert features("ImageVolume") and not features("JobManagedBy")
    assert features.switched == {"ImageVolume": True, "JobManagedBy": False}


def test_all_of_a_stage_are_switched_but_those_that_are_named() -> None:
    features = Features.parse("1.32", ["AllAlpha=true", "AllBeta=false", "HPAScaleToZero=false"])
    assert features("PodLevelResources") and not features("HPAScaleToZero")
    assert not features("SidecarContainers")
    assert not features("DisableNodeKubeProxyVersion")


@pytest.mark.parametrize(
    ("level", "pair", "told"),
    [
        ("1.32", "NoSuchThing=true", "unrecognized feature gate: NoSuchThing (API level 1.32)"),
        (
            "1.32",
            "ContainerStopSignals=true",
            "unrecognized feature gate: ContainerStopSignals (API level 1.32): it is known from 1.33 on",
        ),
        (
            "1.33",
            "SidecarContainers=false",
            "cannot set feature gate SidecarContainers to false, feature is locked to true",
        ),
        ("1.32", "ImageVolume", "feature gate ImageVolume: a value is missing"),
        ("1.32", "ImageVolume=yes", "feature gate ImageVolume: 'yes' is neither true nor false"),
        ("1.31", "ImageVolume=true", "api-level 1.31 cannot be served: must be one of 1.32, 1.33"),
    ],
)
def test_what_cannot_be_set_is_named(level: str, pair: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        Features.parse(level, [pair])
    assert str(caught.value).startswith(told)


def test_a_locked_gate_may_be_set_to_what_it_is() -> None:
    assert Features.parse("1.33", ["SidecarContainers=true"])("SidecarContainers")


def test_every_gate_is_known_at_some_level_and_its_history_is_in_order() -> None:
    for gate, stages in GATES.items():
        assert stage_of(gate, LEVELS[-1]) is not None, gate
        since = [tuple(map(int, stage.since.split("."))) for stage in stages]
        assert since == sorted(set(since)), gate
