"""Rules that look at several values of a description together."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping

from kdist.api import features
from kdist.lifecycle.spec.description import HostSpec, Problem
from kdist.lifecycle.spec.settings import ClusterSettings

Network = ipaddress.IPv4Network


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
    pods, services = Network(settings.pod_cidr), Network(settings.service_cidr)
    if pods.overlaps(services):
        reason = f"{pods} overlaps kdist_service_cidr {services}"
        problems.append(Problem("all", "kdist_pod_cidr", reason))
    if settings.node_cidr_mask_size < pods.prefixlen:
        reason = f"/{settings.node_cidr_mask_size} is larger than kdist_pod_cidr {pods}"
        problems.append(Problem("all", "kdist_node_cidr_mask_size", reason))
    elif len(hosts) > 2 ** (settings.node_cidr_mask_size - pods.prefixlen):
        reason = f"{pods} has no room for {len(hosts)} nodes of /{settings.node_cidr_mask_size}"
        problems.append(Problem("all", "kdist_pod_cidr", reason))
    if settings.dns_address and ipaddress.ip_address(settings.dns_address) not in services:
        reason = f"{settings.dns_address} is outside kdist_service_cidr {services}"
        problems.append(Problem("all", "kdist_dns_address", reason))
    if services.num_addresses < 16:
        problems.append(Problem("all", "kdist_service_cidr", f"{services} is too small, /28 is the least"))
    if settings.certificate_lifetime > settings.authority_lifetime:
        reason = "is longer than kdist_authority_lifetime: no certificate outlives its authority"
        problems.append(Problem("all", "kdist_certificate_lifetime", reason))
    if (settings.join_token is None) != (settings.join_ca_hash is None):
        reason = "kdist_join_token and kdist_join_ca_hash go together; `kdist token create` prints both"
        problems.append(Problem("all", "kdist_join_token", reason))
    problems += _vip_problems(settings, hosts)
    problems += _address_problems(hosts, {"kdist_pod_cidr": pods, "kdist_service_cidr": services})
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
        if vip in ipaddress.ip_network(getattr(settings, name)):
            problems.append(Problem("all", key, f"{vip} lies within kdist_{name} {getattr(settings, name)}"))
    return problems


def _address_problems(hosts: list[HostSpec], networks: Mapping[str, Network]) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for host in hosts:
        if host.address in seen:
            reason = f"{host.address} is also the address of {seen[host.address]}"
            problems.append(Problem(host.name, "kdist_node_ip", reason))
        seen.setdefault(host.address, host.name)
        for key, network in networks.items():
            if ipaddress.ip_address(host.address) in network:
                problems.append(
                    Problem(host.name, key, f"{network} contains the host's address {host.address}")
                )
    return problems
