"""Who holds the operator's lock, across processes of this machine, on hosts that are this machine itself."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

from kdist.lifecycle.operation.lock import Holder, lease_age, refusal
from tests.unit.lifecycle.operation import lease


def test_a_running_process_of_this_machine_is_not_gone() -> None:
    assert not Holder.this_process("kdist upgrade apply").is_gone()


def test_a_process_that_has_ended_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = Holder.this_process("site.yml", process.pid)
        assert not holder.is_gone()
        process.kill()
    assert holder.is_gone()


def test_of_another_machine_or_boot_nothing_is_known() -> None:
    holder = Holder.this_process("site.yml", 2**22 + 1)
    assert holder.is_gone()
    assert not dataclasses.replace(holder, boot="another").is_gone()
    assert not dataclasses.replace(holder, boot="").is_gone()


def test_the_second_operator_hears_who_what_since_when_and_what_to_do() -> None:
    holder = Holder("17", "alice", "laptop", "kdist upgrade apply", 4711)
    told = str(refusal(holder, 600, "cp1"))
    assert "alice@laptop (process 4711) runs `kdist upgrade apply` since 10 min" in told
    assert "--break-lock" in told


def test_a_lock_that_was_left_behind_is_told_as_such() -> None:
    holder = Holder("17", "alice", "laptop", "kdist upgrade apply", 4711)
    told = "left by alice@laptop (process 4711), which is gone and ran `kdist upgrade apply`, 10 min ago"
    assert holder.told(600, gone=True) == told


def test_a_lease_holds_while_it_is_renewed() -> None:
    age = lease_age(lease(seconds_ago=5))
    assert age is not None and 4 < age < 10
    assert lease_age(lease(seconds_ago=61)) is None
    assert lease_age(lease(seconds_ago=5, holder="")) is None
