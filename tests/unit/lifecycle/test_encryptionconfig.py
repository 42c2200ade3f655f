"""The encryption file of a cluster: made once, exchanged in steps that never lock anybody out."""

import itertools

import pytest

from kdist.lifecycle import encryptionconfig as config
from kdist.storage.encryption.configuration import parse


def maker():
    numbers = itertools.count(1)
    return lambda: (b"%032d" % next(numbers)).hex()[:43] + "="


def test_the_file_is_made_once_and_kept():
    text = config.converge(None, ["secrets"])
    assert text is not None
    assert config.converge(text, ["secrets"]) == text
    assert config.converge(None, []) is None


def test_resources_change_without_touching_the_keys():
    text = config.converge(None, ["secrets"])
    wider = config.converge(text, ["secrets", "configmaps"])
    written = parse(text.encode()).of("", "secrets").write(b"{}", b"")
    assert parse(wider.encode()).of("", "configmaps").read(written, b"").value == b"{}"


def test_turned_off_it_writes_plain_and_still_reads():
    text = config.converge(None, ["secrets"])
    written = parse(text.encode()).of("", "secrets").write(b"{}", b"")
    off = config.converge(text, [])
    assert parse(off.encode()).of("", "secrets").write(b"{}", b"") == b"{}"
    assert parse(off.encode()).of("", "secrets").read(written, b"").value == b"{}"
    assert config.converge(off, ["secrets"]) == text


def test_at_every_step_of_an_exchange_neighbouring_servers_read_each_other():
    steps = [config.converge(None, ["secrets"])]
    for change in (config.add_key, config.promote_key):
        steps.append(change(steps[-1]))
    for one, other in itertools.pairwise(steps):
        for writer, reader in ((one, other), (other, one)):
            written = parse(writer.encode()).of("", "secrets").write(b"{}", b"")
            assert parse(reader.encode()).of("", "secrets").read(written, b"").value == b"{}"
    last = config.remove_keys(steps[-1])
    written = parse(steps[-1].encode()).of("", "secrets").write(b"{}", b"")
    assert parse(last.encode()).of("", "secrets").read(written, b"").outdated is False


def test_steps_out_of_order_are_refused():
    text = config.converge(None, ["secrets"])
    with pytest.raises(ValueError, match="add one first"):
        config.promote_key(text)
    with pytest.raises(ValueError, match="only one key"):
        config.remove_keys(text)
    with pytest.raises(ValueError, match="under way"):
        config.add_key(config.add_key(text))


def test_a_file_written_by_hand_is_left_alone():
    text = config.converge(None, ["secrets"]).replace("secretbox", "aesgcm")
    with pytest.raises(config.NotOurs, match="aesgcm"):
        config.converge(text, ["secrets"])


def test_steps_follow_each_other_and_are_taken_once():
    make = maker()
    text = config.converge(None, ["secrets"], make)
    for step, stage in (("add", "added"), ("promote", "promoted"), ("remove", "stable")):
        before, text = text, config.advance(text, step)
        assert text != before
        assert config.stage(text) == stage
        assert config.advance(text, step) == text


@pytest.mark.parametrize(
    ("taken", "asked", "following"), [((), "promote", "add"), (("add",), "remove", "promote")]
)
def test_a_step_out_of_order_is_refused(taken, asked, following):
    text = config.converge(None, ["secrets"])
    for step in taken:
        text = config.advance(text, step)
    with pytest.raises(ValueError, match=f"the next step is {following}"):
        config.advance(text, asked)
