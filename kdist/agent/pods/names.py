"""What a pod's containers see as names: hostname, resolver configuration, hosts file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdist.agent.pods import spec as specs
from kdist.api import meta
from kdist.api.meta import Obj

MAX_HOSTNAME = 63
# Programs know by the first line that the file is the node's work.
_MARK = "# Kubernetes-managed hosts file.\n"
_HOST_MARK = "# Kubernetes-managed hosts file (host network).\n"
_HOSTS = f"""\
{_MARK}\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


@dataclass(frozen=True, slots=True)
class Resolver:
    """The contents of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterNames:
    """The cluster's DNS as this node was configured, and the host's own resolver."""

    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"
    host: Resolver = Resolver()


def parse_resolv_conf(text: str) -> Resolver:
    """Servers, the last search list and options of a resolv.conf."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        match words[:1]:
            case ["nameserver"] if len(words) > 1:
                servers.append(words[1])
            case ["search"]:
                searches = [w.removesuffix(".") or "." for w in words[1:]]
            case ["options"]:
                options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def read_resolver(path: Path) -> Resolver:
    """The resolver configuration of a file; an absent one is empty."""
    return parse_resolv_conf(path.read_text()) if path.exists() else Resolver()


def hostname(pod: Obj) -> str:
    """The short hostname of the pod."""
    name = specs.spec(pod).get("hostname") or meta.name(pod)
    return str(name)[:MAX_HOSTNAME].rstrip("-.")


def fqdn(pod: Obj, domain: str) -> str | None:
    """``HOSTNAME.SUBDOMAIN.NAMESPACE.svc.DOMAIN`` for pods with a subdomain."""
    subdomain = specs.spec(pod).get("subdomain")
    return f"{hostname(pod)}.{subdomain}.{meta.namespace(pod)}.svc.{domain}" if subdomain else None


def sandbox_hostname(pod: Obj, domain: str) -> str:
    """The kernel's hostname in the sandbox; empty for host network, which keeps the host's."""
    if specs.host_network(pod):
        return ""
    full = fqdn(pod, domain) if specs.spec(pod).get("setHostnameAsFQDN") else None
    return full or hostname(pod)


def resolver(pod: Obj, cluster: ClusterNames) -> Resolver:
    """The pod's resolver by its dnsPolicy, with its dnsConfig merged in."""
    policy = specs.spec(pod).get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and specs.host_network(pod):
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or not cluster.servers:
        base = cluster.host
    else:
        domain = cluster.domain
        own = (f"{meta.namespace(pod)}.svc.{domain}", f"svc.{domain}", domain)
        base = Resolver(cluster.servers, _unique((*own, *cluster.host.searches)), ("ndots:5",))
    return _merged(base, specs.spec(pod).get("dnsConfig") or {})


def _merged(base: Resolver, config: Obj) -> Resolver:
    options = {o.partition(":")[0]: o for o in base.options}
    for option in config.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return Resolver(
        _unique((*base.servers, *(config.get("nameservers") or ()))),
        _unique((*base.searches, *(config.get("searches") or ()))),
        tuple(options.values()),
    )


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def hosts_file(pod: Obj, ips: Sequence[str], domain: str, host_file: str = "") -> str:
    """The pod's /etc/hosts: its own addresses, or the host's file for host network; then hostAliases."""
    if specs.host_network(pod):
        text = _HOST_MARK + host_file
    else:
        names = "\t".join(n for n in (fqdn(pod, domain), hostname(pod)) if n)
        text = _HOSTS + "".join(f"{ip}\t{names}\n" for ip in ips)
    aliases = specs.spec(pod).get("hostAliases") or ()
    if aliases:
        text += "\n# hostAliases\n"
        text += "".join(f"{a['ip']}\t" + "\t".join(a.get("hostnames") or ()) + "\n" for a in aliases)
    return text
