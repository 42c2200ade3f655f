"""What the pod network's plan does to a real kernel: two hosts in network namespaces, a pod range of each family."""

import asyncio
import ipaddress
import os
from collections.abc import Iterator

import pytest
from pyroute2 import AsyncIPRoute

from kdist.net import plan
from kdist.net.hosts import Host
from kdist.net.kernel import Kernel

from .nft_namespaces import Namespace, ip

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def host(number: int) -> Host:
    return Host(
        f"h{number}",
        ipaddress.IPv4Address(f"10.9.0.{number}"),
        ipaddress.IPv4Network(f"10.244.{number}.0/24"),
        ipaddress.IPv6Address(f"fd00:9::{number}"),
        ipaddress.IPv6Network(f"fd00:244:0:{number}::/64"),
    )


HOSTS = (host(1), host(2))


@pytest.fixture(scope="module")
def spaces() -> Iterator[tuple[Namespace, ...]]:
    """Two hosts with a cable between; ``lo`` carries the address of a pod of each family."""
    made = tuple(Namespace(f"kn{os.getpid()}-{one.name}") for one in HOSTS)
    first, second = (space.name for space in made)
    ip("-n", first, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", second)
    for space, one in zip(made, HOSTS, strict=True):
        assert one.pods6
        ip("-n", space.name, "addr", "add", f"{one.address}/24", "dev", "eth0")
        ip("-n", space.name, "addr", "add", f"{one.address6}/64", "dev", "eth0", "nodad")
        ip("-n", space.name, "addr", "add", f"{one.pods[2]}/32", "dev", "lo")
        ip("-n", space.name, "addr", "add", f"{one.pods6[2]}/128", "dev", "lo", "nodad")
        ip("-n", space.name, "link", "set", "eth0", "up")
        space.set_sysctl("ipv4/ip_forward", "1")
        space.set_sysctl("ipv6/conf/all/forwarding", "1")
        for pods in (one.pods, one.pods6):
            space.serve(8080, address=str(pods[2]))
    yield made
    for space in made:
        space.remove()


def configure(spaces: tuple[Namespace, ...], *, dual: bool = True, encapsulation: str = "auto") -> list[int]:
    """Apply the plan on both hosts; how many things were changed on each."""
    return [
        space.call(asyncio.run, _apply(own, dual, encapsulation))
        for space, own in zip(spaces, HOSTS, strict=True)
    ]


async def _apply(own: Host, dual: bool, encapsulation: str) -> int:
    async with AsyncIPRoute() as netlink:
        kernel = Kernel(netlink)
        uplink, uplink6 = await kernel.uplink(own.address), None
        assert uplink
        hosts = HOSTS
        if dual:
            assert own.address6
            uplink6 = await kernel.uplink(own.address6)
            assert uplink6
            assert (uplink6.name, str(uplink6.subnet)) == ("eth0", "fd00:9::/64")
        else:
            hosts = tuple(Host(one.name, one.address, one.pods) for one in HOSTS)
            own = next(one for one in hosts if one.name == own.name)
        wanted = plan.make(own, hosts, uplink, uplink6, encapsulation=encapsulation)
        return await kernel.apply(wanted, uplink, uplink6)


def reach(spaces: tuple[Namespace, ...]) -> list[str]:
    """Who answers on the pods' addresses of the second host, asked from the first."""
    other = HOSTS[1]
    assert other.pods6
    return [spaces[0].ask(str(pods[2]), 8080)[0] for pods in (other.pods, other.pods6)]


def test_both_families_go_by_route_or_tunnel_and_a_second_look_changes_nothing(
    spaces: tuple[Namespace, ...],
) -> None:
    for encapsulation in ("auto", "always", "auto", "never", "always"):
        assert min(configure(spaces, encapsulation=encapsulation)) > 0 or encapsulation == "never"
        assert configure(spaces, encapsulation=encapsulation) == [0, 0]
        assert reach(spaces) == ["h2", "h2"]


def test_without_a_second_range_ipv6_is_left_alone(spaces: tuple[Namespace, ...]) -> None:
    configure(spaces)
    assert configure(spaces, dual=False) == [0, 0]
    assert reach(spaces) == ["h2", "h2"]
