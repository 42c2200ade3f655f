"""Rules that look at several values of a description together."""

from __future__ import annotations

import difflib
import ipaddress
import itertools
from collections.abc import Mapping

from kdist.api import features
from kdist.lifecycle.spec.description import HostSpec, Problem
from kdist.lifecycle.spec.settings import PREFIX, ClusterSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# A node's share of an IPv6 network has an index of this many bits, as upstream's controller has it.
_MOST_SHARE_BITS = 16
_LEAST_SERVICES = 16


def across(settings: ClusterSettings, hosts: list[HostSpec]) -> list[Problem]:
    """Rules that look at several values together."""
    problems = []
    for gate, state in (settings.feature_gates or {}).items():
        try:
            features.check(settings.api_level, gate, state)
        except ValueError as error:
            near = difflib.get_close_matches(gate, features.GATES, n=1)
            hint = f"; did you mean {near[0]}?" if near and near[0] != gate else ""
            problems.append(Problem("all", "kdist_feature_gates", f"{error}{hint}"))
    pods, services = _networks(settings.pod_cidr), _networks(settings.service_cidr)
    problems += _network_problems(settings, pods, services, hosts)
    if len(pods) == len(services) == 2:
        problems += _dual_problems(settings, pods[1], hosts)
    elif len(pods) != len(services):
        keys = ("kdist_service_cidr", "kdist_pod_cidr")
        lacking, other = keys if len(pods) == 2 else keys[::-1]
        reason = f"has no IPv6 network and {other} has one: give one to both (dual stack) or to neither"
        problems.append(Problem("all", lacking, reason))
    if settings.certificate_lifetime > settings.authority_lifetime:
        reason = "is longer than kdist_authority_lifetime: no certificate outlives its authority"
        problems.append(Problem("all", "kdist_certificate_lifetime", reason))
    if (settings.join_token is None) != (settings.join_ca_hash is None):
        reason = "kdist_join_token and kdist_join_ca_hash go together; `kdist token create` prints both"
        problems.append(Problem("all", "kdist_join_token", reason))
    problems += _vip_problems(settings, hosts)
    problems += _address_problems(hosts, {"kdist_pod_cidr": pods, "kdist_service_cidr": services})
    return problems


def _networks(text: str) -> list[Network]:
    return [ipaddress.ip_network(part) for part in text.split(",")]


def _network_problems(
    settings: ClusterSettings, pods: list[Network], services: list[Network], hosts: list[HostSpec]
) -> list[Problem]:
    problems = []
    for pod_network, service_network in itertools.product(pods, services):
        if pod_network.overlaps(service_network):
            reason = f"{pod_network} overlaps kdist_service_cidr {service_network}"
            problems.append(Problem("all", "kdist_pod_cidr", reason))
    masks = (settings.node_cidr_mask_size, settings.node_cidr_mask_size_ipv6)
    for network, mask, key in zip(
        pods, masks, ("node_cidr_mask_size", "node_cidr_mask_size_ipv6"), strict=False
    ):
        if mask < network.prefixlen:
            problems.append(
                Problem("all", f"{PREFIX}{key}", f"/{mask} is larger than kdist_pod_cidr {network}")
            )
        elif len(hosts) > 2 ** (mask - network.prefixlen):
            reason = f"{network} has no room for {len(hosts)} nodes of /{mask}"
            problems.append(Problem("all", "kdist_pod_cidr", reason))
    if settings.dns_address and ipaddress.ip_address(settings.dns_address) not in services[0]:
        reason = f"{settings.dns_address} is outside kdist_service_cidr {services[0]}"
        problems.append(Problem("all", "kdist_dns_address", reason))
    for network in services:
        if network.num_addresses < _LEAST_SERVICES:
            least = network.max_prefixlen - 4
            problems.append(
                Problem("all", "kdist_service_cidr", f"{network} is too small, /{least} is the least")
            )
    return problems


def _dual_problems(settings: ClusterSettings, pods: Network, hosts: list[HostSpec]) -> list[Problem]:
    """What an IPv6 network of pods needs besides."""
    problems = []
    if settings.node_cidr_mask_size_ipv6 - pods.prefixlen > _MOST_SHARE_BITS:
        least = settings.node_cidr_mask_size_ipv6 - _MOST_SHARE_BITS
        reason = (
            f"{pods} is too large for nodes of /{settings.node_cidr_mask_size_ipv6}, /{least} is the most"
        )
        problems.append(Problem("all", "kdist_pod_cidr", reason))
    for host in hosts:
        if not host.address6:
            reason = (
                f"dual stack needs an IPv6 address of the host too: kdist_node_ip: {host.address},ADDRESS"
            )
            problems.append(Problem(host.name, "kdist_node_ip", reason))
    return problems


def _vip_problems(settings: ClusterSettings, hosts: list[HostSpec]) -> list[Problem]:
    if settings.api_vip is None:
        return []
    key, vip = "kdist_api_vip", ipaddress.ip_address(settings.api_vip)
    problems = [
        Problem("all", key, f"{vip} is the address of host {host.name}; it must be one that nobody has")
        for host in hosts
        if ipaddress.ip_address(host.address) == vip
    ]
    for name in ("pod_cidr", "service_cidr"):
        for network in _networks(getattr(settings, name)):
            if vip in network:
                problems.append(Problem("all", key, f"{vip} lies within kdist_{name} {network}"))
    return problems


def _address_problems(hosts: list[HostSpec], networks: Mapping[str, list[Network]]) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for host, address in ((one, address) for one in hosts for address in one.addresses):
        if address in seen:
            reason = f"{address} is also the address of {seen[address]}"
            problems.append(Problem(host.name, "kdist_node_ip", reason))
        seen.setdefault(address, host.name)
        for key, network in ((name, network) for name, found in networks.items() for network in found):
            if ipaddress.ip_address(address) in network:
                problems.append(Problem(host.name, key, f"{network} contains the host's address {address}"))
    return problems
