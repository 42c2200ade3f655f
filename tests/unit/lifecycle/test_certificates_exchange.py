"""Which phases of an exchange are left, told by the states of the authorities and nothing else."""

import pytest

from kdist.lifecycle.certificates.exchange import Refused, begin, phases_left, unknown
from kdist.pki.rotation import NAMES, TOKENS, Phase, State

ALL = ("ca", "etcd-ca", "front-proxy-ca")
TRUST, ISSUE, DROP = Phase


def test_an_exchange_begins_with_trust_and_ends_with_dropping() -> None:
    assert phases_left(ALL, dict.fromkeys(ALL, State.STABLE)) == [TRUST, ISSUE, DROP]


def test_the_last_phase_is_run_again_because_it_may_not_have_reached_every_host() -> None:
    assert phases_left(ALL, dict.fromkeys(ALL, State.TRUSTED))[0] is TRUST
    assert phases_left(ALL, dict.fromkeys(ALL, State.ISSUED)) == [ISSUE, DROP]


def test_authorities_at_different_places_are_not_led_on_together() -> None:
    now = {"ca": State.ISSUED, "etcd-ca": State.STABLE}
    with pytest.raises(Refused, match="ca is issued, etcd-ca is stable"):
        phases_left(("ca", "etcd-ca"), now)
    assert phases_left(("ca",), now) == [ISSUE, DROP]


def test_the_old_token_key_is_not_dropped_in_the_run_that_brings_the_new_one() -> None:
    assert phases_left((TOKENS,), {TOKENS: State.STABLE}) == [TRUST, ISSUE]
    assert phases_left((TOKENS,), {TOKENS: State.ISSUED}) == [ISSUE, DROP]


def test_the_journal_says_what_each_phase_does() -> None:
    journal = begin(ALL, [TRUST, ISSUE])
    assert [entry.name for entry in journal.entries] == ["trust", "issue"]
    assert all(entry.does for entry in journal.entries)
    assert journal.about == {"authorities": list(ALL)}


def test_names_are_checked() -> None:
    assert unknown(["ca", "root"]) == ["root"]
    assert unknown(NAMES) == []
