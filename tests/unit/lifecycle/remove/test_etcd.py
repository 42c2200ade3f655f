"""What is asked of etcd when a host leaves."""

from __future__ import annotations

import re
from typing import Any, cast

from kdist.lifecycle.etcd.members import Member
from kdist.lifecycle.operation.site import Site
from kdist.lifecycle.remove import etcd

# Seconds after which etcd itself gives a change up: 5, and twice its election timeout.
ETCD_GIVES_UP = 7


class Host:
    """Stands for the site: keeps what is run on a host."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str]] = []

    async def run(self, name: str, command: str, **more: Any) -> str:
        self.ran.append((name, command))
        return ""


def member(number: int) -> Member:
    return Member(number, f"cp{number}", (f"https://10.0.0.{number}:2380",))


async def test_a_membership_is_ended_by_members_that_answer_and_given_the_time_of_an_election() -> None:
    host, members = Host(), tuple(member(n) for n in (1, 2, 3, 4))
    found = etcd.Etcd("cp2", members, frozenset({2, 3}))
    await etcd.end(cast(Site, host), found, members[3])
    [(asked, command)] = host.ran
    assert asked == "cp2"
    assert "--endpoints=https://10.0.0.2:2379,https://10.0.0.3:2379 " in command
    assert command.endswith("member remove 4")
    given = re.search(r"--command-timeout=(\d+)s", command)
    assert given and int(given[1]) > ETCD_GIVES_UP
