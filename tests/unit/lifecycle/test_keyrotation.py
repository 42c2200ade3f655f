"""The steps of an exchange of encryption keys that are left, and what cannot be begun."""

import pytest

from kdist.lifecycle.keyrotation import Refused, begin


@pytest.mark.parametrize(("stage", "first"), [("stable", "add"), ("added", "add"), ("promoted", "promote")])
def test_the_step_that_led_to_a_stage_is_taken_again(stage: str, first: str) -> None:
    journal = begin(["secrets"], stage)
    assert journal.entries[0].name == first
    assert [entry.name for entry in journal.entries][-2:] == ["rewrite", "remove"]
    assert journal.about == {"resources": ["secrets"]}


@pytest.mark.parametrize(("resources", "told"), [([], "nothing is encrypted"), (["*.*"], "with --resources")])
def test_what_cannot_be_rewritten_is_refused(resources: list[str], told: str) -> None:
    with pytest.raises(Refused, match=told):
        begin(resources, "stable")
