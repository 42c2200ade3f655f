"""Bootstrap tokens: their form, their time, and what other tools read in them."""

from datetime import UTC, datetime, timedelta

import pytest

from kdist.controllers.bootstraptokens import token as controllers
from kdist.lifecycle.join import tokens

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOKEN = "abcdef.0123456789abcdef"


def test_a_new_token_is_one_and_another_one_every_time() -> None:
    assert tokens.split(tokens.generate())
    assert tokens.generate() != tokens.generate()


@pytest.mark.parametrize("text", ["", "abcdef", "ABCDEF.0123456789abcdef", f"{TOKEN}0", f"{TOKEN}\n"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.split(text)


@pytest.mark.parametrize(
    ("text", "life"),
    [
        ("24h", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("0", None),
    ],
)
def test_a_time_to_live_is_read(text: str, life: timedelta | None) -> None:
    assert tokens.lifetime(text) == life


@pytest.mark.parametrize("text", ["", "1d", "h", "-1h", "24"])
def test_what_is_no_time_to_live_is_refused(text: str) -> None:
    with pytest.raises(tokens.InvalidToken, match="time to live"):
        tokens.lifetime(text)


def test_the_secret_is_what_the_controllers_take_for_a_token() -> None:
    made = tokens.secret(TOKEN, timedelta(hours=1), NOW, "for w1")
    found = controllers.read(made)
    assert found is not None
    assert (found.id, found.secret, found.signs) == ("abcdef", "0123456789abcdef", True)
    assert found.expires == NOW + timedelta(hours=1)
    listed = tokens.read(made)
    assert listed == tokens.Listed("abcdef", found.expires, ("authentication", "signing"), "for w1")
