"""Judge inventory, bundle and hosts together; give every host what follows from them.

Runs on the operator's machine and touches no host. Everything that is wrong comes in one failure.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from kdist import __version__
from kdist.lifecycle import preflight, spec, versions
from kdist.lifecycle.bundle import manifest
from kdist.lifecycle.bundle.process import BundleError
from kdist.lifecycle.certificates import given

# What a relative kdist_bundle is relative to.
CHECKOUT = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):
    """``kdist_verdict: {observed: NAME}``: NAME is the variable that holds every host's observation.

    Returns ``cluster``, ``hosts``, ``bundle``, ``manifest``, ``authority_holder`` and ``with_etcd_data`` for
    templates.
    """

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        hostvars = self._hostvars(variables)
        cluster, problems = spec.read(hostvars, variables["groups"])
        directory = self._bundle_directory(hostvars)
        bundle, faults = _bundle(directory)
        if cluster:
            _, unfit = given.read(cluster.settings, CHECKOUT, datetime.datetime.now(datetime.UTC))
            problems += unfit
        reasons = [str(problem) for problem in problems] + faults
        verdict = self._judge(cluster, variables) if cluster else None
        if verdict:
            reasons += [str(problem) for problem in verdict.problems]
        if cluster and bundle is not None:
            reasons += self._version_problems(bundle, cluster.settings.api_level, variables)
        if reasons or not cluster or not verdict or bundle is None:
            told = "\n".join(dict.fromkeys(reasons))
            return result | {"failed": True, "msg": f"Nothing was changed. To mend first:\n{told}"}
        facts = _facts(cluster) | {"bundle": str(directory), "manifest": bundle.to_json()}
        joining = verdict.joining(cluster)
        facts["hosts"] = {n: h | {"joins_etcd": n in joining} for n, h in facts["hosts"].items()}
        facts |= {"authority_holder": verdict.authority_holder, "with_etcd_data": verdict.with_etcd_data}
        return result | {"changed": False, **facts}

    def _judge(self, cluster: spec.ClusterSpec, variables: dict[str, Any]) -> preflight.Verdict:
        name = self._task.args["observed"]
        hosts = [host.name for host in cluster.hosts]
        looked_at = set(variables["ansible_play_hosts_all"])  # with --limit, not every host
        observed = {
            host: variables["hostvars"][host].get(name, {}).get("observation")
            for host in hosts
            if host in looked_at
        }
        verdict = preflight.judge(cluster, observed, time.time())
        for warning in verdict.warnings:
            self._display.warning(str(warning))
        return verdict

    def _version_problems(
        self, bundle: manifest.Manifest, api_level: str, variables: dict[str, Any]
    ) -> list[str]:
        name = self._task.args["observed"]
        observed = {
            host: variables["hostvars"][host].get(name, {}).get("observation") or {}
            for host in variables["ansible_play_hosts_all"]
        }
        wanted = versions.Wanted(bundle.version, bundle.checkout, api_level)
        upgrading = bool(variables.get("operation_upgrade"))
        found = versions.site_problems(wanted, __version__, observed, upgrading=upgrading)
        return [f"{host}: {reason}" for host, reason in found]

    def _bundle_directory(self, hostvars: dict[str, dict[str, Any]]) -> Path:
        named = next((v["kdist_bundle"] for v in hostvars.values() if v.get("kdist_bundle")), None)
        return Path(CHECKOUT, named or spec.ClusterSettings.__dataclass_fields__["bundle"].default)

    def _hostvars(self, variables: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """What concerns kdist of every host's variables, templates resolved."""
        groups = variables["groups"]
        names = [n for g in (spec.CONTROL_PLANE_GROUP, spec.NODE_GROUP) for n in groups.get(g, [])]
        found = {}
        for name in dict.fromkeys(names):
            mine = variables["hostvars"][name]
            keys = [key for key in mine if key.startswith(spec.PREFIX)] + ["ansible_host"]
            found[name] = {key: mine[key] for key in keys if key in mine}
        return found


def _bundle(directory: Path) -> tuple[manifest.Manifest | None, list[str]]:
    """The bundle, and what is missing or altered in it. Hosts only need their share; wheels are not theirs."""
    try:
        faults = manifest.verify(directory, (manifest.NODE, manifest.CONTROL_PLANE))
        return manifest.Manifest.read(directory), [f"bundle {directory}: {fault}" for fault in faults]
    except BundleError as error:
        return None, [f"{error}; make one with `kdist bundle build`, or set kdist_bundle"]


def _facts(cluster: spec.ClusterSpec) -> dict[str, Any]:
    settings = {
        k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(cluster.settings).items()
    }
    port = cluster.settings.api_port
    settings["authorities"] = {
        name: {what: str(CHECKOUT / path) for what, path in pair.items()}
        for name, pair in (cluster.settings.authorities or {}).items()
    }
    settings |= {
        "feature_gates": spec.pairs(cluster.settings.feature_gates),
        "runtime_config": spec.pairs(cluster.settings.runtime_config),
        "dns_address": cluster.dns_address,
        "api_servers": [f"https://{host.address}:{port}" for host in cluster.control_planes],
        "control_plane_addresses": {host.name: host.address for host in cluster.control_planes},
        "control_planes": [{"name": host.name, "address": host.address} for host in cluster.control_planes],
    }
    hosts = {
        host.name: {
            "address": host.address,
            "control_plane": host.control_plane,
            "node_labels": dict(host.settings.node_labels or {}),
            "node_taints": list(host.settings.node_taints),
        }
        for host in cluster.hosts
    }
    return {"cluster": settings, "hosts": hosts}
