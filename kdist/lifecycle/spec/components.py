"""Flags of components in the cluster file: every flag is known, every value is of its type, before a host is changed.

A component that does not start because of its flags takes a control plane with it, so the settings classes that are
the components' command lines judge them here. They come after the flags that roles set, and so win.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from kdist.config import base
from kdist.config.agent import AgentSettings
from kdist.config.apiserver import ApiServerSettings
from kdist.config.controller_manager import ControllerManagerSettings
from kdist.config.dns import DnsSettings
from kdist.config.net import NetSettings
from kdist.config.proxy import ProxySettings
from kdist.config.scheduler import SchedulerSettings
from kdist.lifecycle.spec.values import Invalid

COMPONENTS: Mapping[str, type[Any]] = {
    "kube-apiserver": ApiServerSettings,
    "kube-controller-manager": ControllerManagerSettings,
    "kube-scheduler": SchedulerSettings,
    "kubelet": AgentSettings,
    "kube-proxy": ProxySettings,
    "kdist-net": NetSettings,
    "kdist-dns": DnsSettings,
}
# Flags with a key of their own: more than one component depends on them, or they are checked for more than their type.
KEYS = {
    "api-level": "kdist_api_level",
    "cluster-cidr": "kdist_pod_cidr",
    "cluster-dns": "kdist_dns_address",
    "cluster-domain": "kdist_dns_domain",
    "encapsulation": "kdist_pod_encapsulation",
    "feature-gates": "kdist_feature_gates",
    "log-level": "kdist_log_level",
    "max-pods": "kdist_max_pods",
    "mtu": "kdist_pod_mtu",
    "node-ip": "kdist_node_ip",
    "node-labels": "kdist_node_labels",
    "register-with-taints": "kdist_node_taints",
    "runtime-config": "kdist_runtime_config",
    "secure-port": "kdist_api_port",
    "service-cluster-ip-range": "kdist_service_cidr",
    "service-node-port-range": "kdist_service_node_port_range",
}


def component_flags(value: Any) -> dict[str, list[str]]:
    """``{component: {flag: value}}`` as ``{component: ["--flag=value"]}``. Invalid names the component and the flag."""
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a mapping of component to its flags, not {value!r}")
    return {_component(name): _flags(name, flags) for name, flags in value.items()}


def _component(name: Any) -> str:
    if name not in COMPONENTS:
        raise Invalid(
            f"unknown component {name!r}{_near(name, COMPONENTS)}; there are {', '.join(COMPONENTS)}"
        )
    return str(name)


def _flags(component: str, flags: Any) -> list[str]:
    if not isinstance(flags, Mapping):
        raise Invalid(f"{component}: must be a mapping of flag to value, not {flags!r}")
    known = base.flags(COMPONENTS[component])
    return [_flag(component, str(flag), value, known) for flag, value in sorted(flags.items())]


def _flag(component: str, flag: str, value: Any, known: Mapping[str, base.Flag]) -> str:
    if flag not in known:
        raise Invalid(
            f"{component} has no flag {flag!r}{_near(flag, known)} (kdist {_command(component)} --help)"
        )
    if flag in KEYS:
        raise Invalid(f"{component}: {flag} is set by {KEYS[flag]}")
    text = _text(value)
    if fault := known[flag].fault(text):
        raise Invalid(f"{component}: {flag}: {fault}")
    return f"--{flag}={text}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _command(component: str) -> str:
    return "agent" if component == "kubelet" else component.partition("-")[2]


def _near(name: Any, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f": did you mean {near[0]}?" if near else ""
