"""The cluster as its operator describes it: ``kdist_*`` variables of the inventory, validated as a whole.

:func:`read` takes plain inventory data and gives a :class:`ClusterSpec` or every problem at once, each naming
the host (or ``all``), the key and the reason. Pure: Ansible's action plug-in and ``kdist validate`` feed it.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kdist.api import features, runtimeconfig
from kdist.api.resources import builtin_resources
from kdist.lifecycle import registries
from kdist.lifecycle.bundle import signature

CONTROL_PLANE_GROUP = "kube_control_plane"
NODE_GROUP = "kube_node"
AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca")
KNOWN_ADDONS = ("net", "proxy", "dns", "csi-local")
# Names that roles and playbooks register for themselves; an inventory that sets them is wrong all the same.
PREFIX = "kdist_"

Network = ipaddress.IPv4Network
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that stands in the way. ``host`` is an inventory name or ``all``; ``key`` may be empty."""

    host: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.host}: {self.key}: {self.reason}" if self.key else f"{self.host}: {self.reason}"


class Invalid(ValueError):
    """A value that its key does not take; the text is the reason."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid(f"must be a non-empty string, not {value!r}")
    return value


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Invalid(f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    return convert


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"must be true or false, not {value!r}")
    return value


def _network(value: Any) -> str:
    try:
        network = ipaddress.ip_network(_text(value))
    except ValueError as error:
        raise Invalid(f"must be a network such as 10.244.0.0/16: {error}") from None
    if network.version != 4:
        raise Invalid("must be an IPv4 network; dual stack is not supported yet")
    return str(network)


def _address(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(_text(value)))
    except ValueError:
        raise Invalid(f"must be an IP address, not {value!r}") from None


def _domain(value: Any) -> str:
    if not all(_DNS_LABEL.match(label) for label in _text(value).split(".")):
        raise Invalid(f"must be a DNS domain in lower case, not {value!r}")
    return str(value)


def _choice(*allowed: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if str(value) not in allowed:
            raise Invalid(f"must be one of {', '.join(allowed)}, not {value!r}")
        return str(value)

    return convert


def _port_range(value: Any) -> str:
    low, _, high = _text(value).partition("-")
    if not (low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high) <= 65535):
        raise Invalid(f"must be a range of ports such as 30000-32767, not {value!r}")
    return str(value)


def _public_key(value: Any) -> str:
    try:
        return signature.line_of(signature.parse_key(_text(value)))
    except ValueError as error:
        raise Invalid(str(error)) from None


def _registry_mirrors(value: Any) -> Mapping[str, Any]:
    try:
        return registries.mirrors(value)
    except ValueError as error:
        raise Invalid(str(error)) from None


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Invalid(f"must be a list, not {value!r}")
    return tuple(_text(item) for item in value)


def _token(value: Any) -> str:
    if not re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", _text(value)):
        raise Invalid("must be a bootstrap token as `kdist token create` prints it, abcdef.0123456789abcdef")
    return str(value)


def _hash(value: Any) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", _text(value)):
        raise Invalid(f"must be sha256: and 64 hexadecimal digits, not {value!r}")
    return str(value)


def _addons(value: Any) -> tuple[str, ...]:
    if unknown := sorted(set(_texts(value)) - set(KNOWN_ADDONS)):
        raise Invalid(f"unknown add-on {', '.join(unknown)}; known are {', '.join(KNOWN_ADDONS)}")
    return tuple(value)


def _resources(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    for name in found:
        if not re.fullmatch(r"(\*|[a-z][a-z0-9]*)(\.(\*|[a-z0-9.-]*))?", name) or name == "*":
            raise Invalid(f"{name!r} is no resource: secrets, deployments.apps, *.apps, or *.* for all")
    if len(set(found)) != len(found):
        raise Invalid("names a resource twice")
    return found


def _calendar(value: Any) -> str:
    # systemd judges it in the end, on the host; this catches what cannot be one.
    if not re.fullmatch(r"[A-Za-z0-9*/.,:~ -]+", _text(value)):
        raise Invalid(
            f"must be 'never' or a calendar event of systemd such as hourly or '*-*-* 00/6:00', not {value!r}"
        )
    return str(value)


def _directory(value: Any) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", _text(value)) or ".." in str(value).split("/"):
        raise Invalid(f"must be an absolute path below /, without spaces, not {value!r}")
    return str(value)


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a mapping of label to value, not {value!r}")
    return {_text(name): str(content) for name, content in value.items()}


def _taints(value: Any) -> tuple[str, ...]:
    for taint in _texts(value):
        if not re.fullmatch(r"[^=:]+(=[^=:]*)?:(NoSchedule|PreferNoSchedule|NoExecute)", taint):
            raise Invalid(f"{taint!r} is not of the form key[=value]:NoSchedule|PreferNoSchedule|NoExecute")
    return tuple(value)


def _duration(least: timedelta) -> Callable[[Any], int]:
    """Seconds of a duration such as 8760h, 365d or 90m."""

    def convert(value: Any) -> int:
        matched = re.fullmatch(r"([1-9][0-9]*)([dhm])", str(value))
        if not matched:
            raise Invalid(f"must be a duration such as 365d, 8760h or 90m, not {value!r}")
        unit = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}[matched[2]]
        if (span := int(matched[1]) * unit) < least:
            raise Invalid(f"must be at least {int(least.total_seconds() // 60)}m, not {value}")
        return int(span.total_seconds())

    return convert


def _authorities(value: Any) -> dict[str, dict[str, str]]:
    """Name of an authority to the files of its certificate and key."""
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a mapping of authority to its files, not {value!r}")
    for name, pair in value.items():
        if name not in AUTHORITIES:
            raise Invalid(f"unknown authority {name!r}; known are {', '.join(AUTHORITIES)}")
        if not isinstance(pair, Mapping) or set(pair) != {"certificate", "key"}:
            raise Invalid(f"{name} must have certificate and key, the paths of two files")
    return {name: {what: _text(path) for what, path in pair.items()} for name, pair in value.items()}


def _switches(value: Any) -> dict[str, bool]:
    if not isinstance(value, Mapping) or not all(isinstance(state, bool) for state in value.values()):
        raise Invalid(f"must be a mapping of name to true or false, not {value!r}")
    return {_text(name): state for name, state in value.items()}


def _served(value: Any) -> dict[str, bool]:
    switches = _switches(value)
    try:
        runtimeconfig.Enabled.parse(pairs(switches), builtin_resources())
    except ValueError as error:
        raise Invalid(str(error).removeprefix("runtime-config ")) from None
    return switches


def pairs(switches: Mapping[str, bool] | None) -> list[str]:
    """``NAME=true|false`` texts, as the components' flags take them."""
    return [f"{name}={str(state).lower()}" for name, state in sorted((switches or {}).items())]


def _setting(convert: Callable[[Any], Any], default: Any, help: str) -> Any:
    return field(default=default, metadata={"convert": convert, "help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Keys of ``group_vars/all``, one value for the whole cluster."""

    cluster_name: str = _setting(_domain, "kdist", "Name of the cluster in kubeconfigs.")
    bundle: str = _setting(_text, "dist/bundle", "Directory of the bundle on the operator's machine.")
    bundle_key: str | None = _setting(
        _public_key,
        None,
        "Public key that must have signed the bundle, as `kdist bundle keygen` prints it; none: that of the first"
        " bundle, which the first run records beside the inventory.",
    )
    api_level: str = _setting(
        _choice(*features.LEVELS), features.DEFAULT_LEVEL, "Level of the Kubernetes API that is served."
    )
    feature_gates: Mapping[str, bool] | None = _setting(
        _switches, None, "Feature gates that differ from the defaults of kdist_api_level; none: the defaults."
    )
    runtime_config: Mapping[str, bool] | None = _setting(
        _served,
        None,
        "Groups and versions (GROUP/VERSION: true or false) that API servers serve besides the stable ones.",
    )
    api_port: int = _setting(_whole(1, 65535), 6443, "Port of the API servers.")
    api_vip: str | None = _setting(
        _address,
        None,
        "A free address in the control-plane hosts' network that always leads to a living API server; none: none.",
    )
    extra_sans: tuple[str, ...] = _setting(
        _texts, (), "Further names and addresses in the API servers' certificate."
    )
    pod_cidr: str = _setting(_network, "10.244.0.0/16", "Network that pods get addresses from.")
    node_cidr_mask_size: int = _setting(_whole(16, 28), 24, "Prefix length of each node's share of it.")
    service_cidr: str = _setting(_network, "10.96.0.0/16", "Network of Service addresses.")
    service_node_port_range: str = _setting(_port_range, "30000-32767", "Ports for NodePort Services.")
    dns_domain: str = _setting(_domain, "cluster.local", "DNS domain of the cluster.")
    dns_address: str | None = _setting(
        _address, None, "Address of the DNS Service; none: the tenth of kdist_service_cidr."
    )
    upstream_dns: tuple[str, ...] = _setting(
        _texts, (), "Resolvers for names outside the cluster; empty: those of the hosts."
    )
    addons: tuple[str, ...] = _setting(_addons, KNOWN_ADDONS, "Parts installed as workloads of the cluster.")
    certificate_lifetime: int = _setting(
        _duration(timedelta(minutes=2)),
        365 * 86400,
        "How long certificates serve, such as 365d or 90m; site.yml renews in the last quarter (90 days at most).",
    )
    authority_lifetime: int = _setting(
        _duration(timedelta(hours=1)), 3650 * 86400, "How long authorities that kdist makes serve."
    )
    authorities: Mapping[str, Mapping[str, str]] | None = _setting(
        _authorities,
        None,
        "Authorities of your own: ca, etcd-ca, front-proxy-ca to the files certificate and key; none: kdist's.",
    )
    encrypted_resources: tuple[str, ...] = _setting(
        _resources,
        ("secrets",),
        "Resources that API servers encrypt in etcd, such as secrets or configmaps; empty: none.",
    )
    join_token: str | None = _setting(
        _token,
        None,
        "A bootstrap token by which workers join that may not read control-plane hosts; none: site.yml makes one.",
    )
    join_ca_hash: str | None = _setting(
        _hash,
        None,
        "With kdist_join_token: the hash of the cluster's authority, as `kdist token create` prints it.",
    )
    etcd_quota_mib: int = _setting(
        _whole(16, 8192), 2048, "MiB that etcd's database may have; at the limit, writes are refused."
    )
    etcd_snapshot_schedule: str = _setting(
        _calendar,
        "*-*-* 00/6:00:00",
        "When every control plane takes a snapshot, as systemd.time(7) has it; never: not at all.",
    )
    etcd_snapshot_keep: int = _setting(_whole(1, 1000), 12, "Scheduled snapshots that a host keeps.")
    etcd_snapshot_max_age_days: int = _setting(
        _whole(0, 3650), 30, "Days after which a snapshot is removed, but for the newest; 0: never."
    )
    etcd_snapshot_directory: str = _setting(
        _directory,
        "/var/lib/kdist/etcd-snapshots",
        "Where hosts keep snapshots; another disk than etcd's is better.",
    )
    etcd_snapshot_pki: bool = _setting(
        _truth,
        False,
        "Keep authorities and service-account keys with each snapshot: certificates and tokens outlive a restore.",
    )
    registry_mirrors: Mapping[str, Any] | None = _setting(
        _registry_mirrors,
        None,
        "Registry to where its images are pulled from instead: URL, url and ca, or a list of these; * is all others.",
    )
    max_pods: int = _setting(_whole(1, 1000), 110, "Most pods on one node.")
    containerd_restrict_oom_score_adj: bool = _setting(
        _truth,
        False,
        "For hosts whose kernel does not let containers lower their OOM score (containers as hosts).",
    )
    log_level: str = _setting(
        _choice("debug", "info", "warning", "error"), "info", "Log level of every component."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Keys of ``host_vars``, one value a host."""

    node_ip: str | None = _setting(_address, None, "Address of the node; none: ansible_host.")
    node_labels: Mapping[str, str] | None = _setting(
        _labels, None, "Labels the node registers with; none: just the usual ones."
    )
    node_taints: tuple[str, ...] = _setting(_taints, (), "Taints the node registers with, key=value:effect.")


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host of the inventory. ``name`` is inventory name and node name."""

    name: str
    address: str
    control_plane: bool
    settings: HostSettings


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A description: settings, hosts in inventory order, and what follows from them."""

    settings: ClusterSettings
    hosts: tuple[HostSpec, ...]

    @property
    def control_planes(self) -> tuple[HostSpec, ...]:
        """Hosts that carry the control plane."""
        return tuple(host for host in self.hosts if host.control_plane)

    @property
    def dns_address(self) -> str:
        """Address of the DNS Service."""
        return self.settings.dns_address or str(ipaddress.ip_network(self.settings.service_cidr)[10])


def _convert(cls: type[Any], host: str, given: Mapping[str, Any], problems: list[Problem]) -> Any:
    values = {}
    for known in dataclasses.fields(cls):
        if known.name in given and given[known.name] is not None:
            try:
                values[known.name] = known.metadata["convert"](given[known.name])
            except Invalid as error:
                problems.append(Problem(host, PREFIX + known.name, str(error)))
    return cls(**values)


def keys(cls: type[Any]) -> list[str]:
    """The keys of a settings class as the inventory spells them."""
    return [PREFIX + known.name for known in dataclasses.fields(cls)]


def _own(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(PREFIX): v for k, v in variables.items() if k.startswith(PREFIX)}


def _unknown(host: str, given: Iterable[str]) -> list[Problem]:
    known = keys(ClusterSettings) + keys(HostSettings)
    problems = []
    for key in sorted(PREFIX + name for name in given):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(Problem(host, key, f"unknown key{hint}"))
    return problems


def _host(
    name: str, variables: Mapping[str, Any], control_plane: bool, problems: list[Problem]
) -> HostSpec | None:
    given = _own(variables)
    settings: HostSettings = _convert(HostSettings, name, given, problems)
    if not all(_DNS_LABEL.match(label) for label in name.split(".")) or len(name) > 253:
        problems.append(
            Problem(name, "", "the inventory name must be a valid node name (lower-case DNS name)")
        )
    address = settings.node_ip or variables.get("ansible_host") or name
    try:
        return HostSpec(name, str(ipaddress.ip_address(address)), control_plane, settings)
    except ValueError:
        reason = f"no IP address known: ansible_host is {address!r}; set kdist_node_ip"
        problems.append(Problem(name, PREFIX + "node_ip", reason))
        return None


def read(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Iterable[str]]
) -> tuple[ClusterSpec | None, list[Problem]]:
    """The specification of an inventory, and everything that is wrong with it.

    With problems, the specification holds defaults in place of what is wrong, so that hosts can be judged in the
    same breath; it must not be acted upon. None: there is no control plane at all.
    ``hostvars``: variables by host; ``groups``: host names by group, as Ansible resolves them.
    """
    problems: list[Problem] = []
    planes = list(groups.get(CONTROL_PLANE_GROUP, ()))
    names = list(dict.fromkeys([*planes, *groups.get(NODE_GROUP, ())]))
    if not planes:
        problems.append(Problem("all", "", f"group {CONTROL_PLANE_GROUP} has no host"))
        return None, problems
    shared = _own(hostvars[planes[0]])
    settings: ClusterSettings = _convert(ClusterSettings, "all", shared, problems)
    everywhere = set.intersection(*(set(_own(hostvars[name])) for name in names))
    problems += _unknown("all", everywhere)
    hosts = []
    for name in names:
        given = _own(hostvars[name])
        problems += _unknown(name, set(given) - everywhere)
        problems += _disagreements(name, given, shared)
        hosts.append(_host(name, hostvars[name], name in planes, problems))
    valid = [host for host in hosts if host]
    problems += _across(settings, valid)
    return ClusterSpec(settings, tuple(valid)), problems


def _disagreements(name: str, given: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Problem]:
    found = []
    for known in dataclasses.fields(ClusterSettings):
        if given.get(known.name) != shared.get(known.name):
            reason = f"is {given.get(known.name)!r} here and {shared.get(known.name)!r} elsewhere; set it for all hosts"
            found.append(Problem(name, PREFIX + known.name, reason))
    return found


def _across(settings: ClusterSettings, hosts: list[HostSpec]) -> list[Problem]:
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
