"""How a host is reached: as Ansible would."""

from __future__ import annotations

import asyncio

import pytest

from kdist.lifecycle.operation.remote import HostError, Reach, run_on

LOCAL = Reach("here", "127.0.0.1", local=True)


def test_a_host_is_reached_with_the_words_of_its_ansible_variables() -> None:
    reach = Reach.from_variables(
        "cp1",
        {
            "ansible_host": "192.0.2.1",
            "ansible_user": "root",
            "ansible_port": "2222",
            "ansible_ssh_private_key_file": "/k",
            "ansible_ssh_common_args": "-o ProxyCommand='nc %h %p'",
        },
    )
    line = reach.command("id -u")
    assert line[-1] == "id -u"
    assert line[-2] == "root@192.0.2.1"
    assert line[line.index("-p") + 1] == "2222"
    assert line[line.index("-i") + 1] == "/k"
    assert "ProxyCommand=nc %h %p" in line
    assert "BatchMode=yes" in line


def test_another_user_becomes_root() -> None:
    reach = Reach.from_variables("w1", {"ansible_user": "ops", "ansible_become": True})
    assert reach.command("echo 'a b'")[-1] == "sudo -n sh -c 'echo '\"'\"'a b'\"'\"''"
    assert not Reach.from_variables("w1", {"ansible_user": "root", "ansible_become": True}).become


async def test_output_comes_back_and_input_goes_in() -> None:
    assert await run_on(LOCAL, "cat; echo done", given=b"in ") == "in done\n"


async def test_a_command_that_fails_tells_host_and_what_was_said() -> None:
    with pytest.raises(HostError, match="here: no such thing") as caught:
        await run_on(LOCAL, "echo no such thing >&2; exit 3")
    assert caught.value.reached


async def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(HostError, match="here: no answer within 0 s"):
        await run_on(LOCAL, "exec sleep 60", timeout=0.05)


async def test_a_command_that_hangs_is_ended_with_what_it_started() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(HostError, match="here: no answer within 0 s"):
            await run_on(LOCAL, "sleep 60 & wait", timeout=0.05)
