"""Judge inventory, bundle and hosts together; give every host what follows from them.

Runs on the operator's machine and touches no host. Everything that is wrong comes in one failure.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from kdist import __version__
from kdist.lifecycle import preflight, spec, versions
from kdist.lifecycle.bundle import intake, manifest, trust
from kdist.lifecycle.certificates import given
from kdist.lifecycle.join import keeper
from kdist.lifecycle.operation.remote import Reach

# What a relative kdist_bundle is relative to.
CHECKOUT = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):
    """``kdist_verdict: {observed: NAME}``: NAME is the variable that holds every host's observation.

    Returns ``cluster``, ``hosts``, ``bundle``, ``manifest`` (the bundle's, as hosts of the images' release see it),
    ``manifests`` (the same for each host's release), ``first``, ``authority_holder`` and
    ``with_etcd_data`` for templates.
    """

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        groups = _present(variables["groups"], self._task.args.get("absent") or ())
        hostvars = self._hostvars(variables["hostvars"], groups)
        cluster, problems = spec.read(hostvars, groups)
        directory = self._bundle_directory(hostvars)
        taken = intake.take(directory, self._setting(hostvars, "bundle_key"), _inventory(variables))
        if cluster:
            _, unfit = given.read(cluster.settings, CHECKOUT, datetime.datetime.now(datetime.UTC))
            problems += unfit
        bundle, reasons = taken.manifest, [*map(str, problems), *taken.faults]
        observed = self._observed(cluster, variables) if cluster else {}
        verdict = self._judge(cluster, observed) if cluster else None
        if verdict:
            reasons += [str(problem) for problem in verdict.problems]
        if cluster and bundle is not None:
            reasons += self._version_problems(bundle, cluster.settings.api_level, variables)
        if bundle:
            reasons += map(str, intake.unserved(bundle, observed))
        if reasons or not cluster or not verdict or bundle is None:
            told = "\n".join(dict.fromkeys(reasons))
            return result | {"failed": True, "msg": f"Nothing was changed. To mend first:\n{told}"}
        if taken.first_key and not self._task.check_mode:
            trust.record(Path(variables["inventory_dir"]), taken.first_key)
        suites = {name: intake.suite_of(facts) for name, facts in observed.items()}
        facts = _facts(cluster) | {"bundle": str(directory), "manifest": bundle.share(bundle.suite)}
        facts["manifests"] = {
            suite: bundle.share(suite) for suite in bundle.hosts if suite in suites.values()
        }
        holder = verdict.authority_holder
        if not observed.get(holder):
            holder = self._holder(cluster, variables)
        joining = verdict.joining(cluster)
        facts["hosts"] = {
            n: h | {"joins_etcd": n in joining, "suite": suites.get(n)} for n, h in facts["hosts"].items()
        }
        facts |= {
            "first": verdict.first,
            "authority_holder": holder,
            "with_etcd_data": verdict.with_etcd_data,
        }
        return result | {"changed": False, **facts}

    def _observed(self, cluster: spec.ClusterSpec, variables: dict[str, Any]) -> dict[str, Any]:
        """Every host of this run and what was observed there; None where it did not answer."""
        name = self._task.args["observed"]
        looked_at = set(variables["ansible_play_hosts_all"])  # with --limit, not every host
        return {
            host.name: variables["hostvars"][host.name].get(name, {}).get("observation")
            for host in cluster.hosts
            if host.name in looked_at
        }

    def _judge(self, cluster: spec.ClusterSpec, observed: dict[str, Any]) -> preflight.Verdict:
        verdict = preflight.judge(cluster, observed)
        for warning in verdict.warnings:
            self._display.warning(str(warning))
        return verdict

    def _holder(self, cluster: spec.ClusterSpec, variables: dict[str, Any]) -> str:
        """Who signs when none that could is part of this run; the first one may be down."""
        names = [host.name for host in cluster.control_planes]
        if cluster.settings.join_token:
            return names[0]  # nobody is asked
        reaches = [Reach.from_variables(name, variables["hostvars"][name]) for name in names]
        found, passed = asyncio.run(keeper.of(reaches))
        for reason in passed:
            self._display.warning(reason)
        return found or names[0]

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
        named = self._setting(hostvars, "bundle")
        return Path(CHECKOUT, named or spec.ClusterSettings.__dataclass_fields__["bundle"].default)

    def _setting(self, hostvars: dict[str, dict[str, Any]], name: str) -> str | None:
        """A key of the whole cluster as it is given, also when other keys are wrong."""
        key = spec.PREFIX + name
        return next((str(v[key]) for v in hostvars.values() if v.get(key)), None)

    def _hostvars(self, everyone: Any, groups: Mapping[str, list[str]]) -> dict[str, dict[str, Any]]:
        """What concerns kdist of every host's variables, templates resolved."""
        names = [n for g in (spec.CONTROL_PLANE_GROUP, spec.NODE_GROUP) for n in groups.get(g, [])]
        found = {}
        for name in dict.fromkeys(names):
            mine = everyone[name]
            keys = [key for key in mine if key.startswith(spec.PREFIX)] + ["ansible_host"]
            found[name] = {key: mine[key] for key in keys if key in mine}
        return found


def _inventory(variables: dict[str, Any]) -> Path | None:
    """The directory of the inventory; None when it is given on the command line."""
    directory = variables.get("inventory_dir")
    return Path(directory) if directory else None


def _present(groups: Mapping[str, list[str]], absent: Collection[str]) -> dict[str, list[str]]:
    """The groups without hosts that have just been removed from the cluster and are in the inventory still."""
    return {group: [name for name in names if name not in absent] for group, names in groups.items()}


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
        "component_flags": dict(cluster.settings.component_flags or {}),
        "dns_address": cluster.dns_address,
        "api_servers": [f"https://{host.address}:{port}" for host in cluster.control_planes],
        "vip_url": f"https://{cluster.settings.api_vip}:{port}" if cluster.settings.api_vip else "",
        "control_plane_addresses": {host.name: host.address for host in cluster.control_planes},
        "control_planes": [{"name": host.name, "address": host.address} for host in cluster.control_planes],
    }
    hosts = {
        host.name: {
            "address": host.address,
            "address6": host.address6,
            "node_ip": ",".join(host.addresses),
            "control_plane": host.control_plane,
            "node_labels": dict(host.settings.node_labels or {}),
            "node_taints": list(host.settings.node_taints),
        }
        for host in cluster.hosts
    }
    return {"cluster": settings, "hosts": hosts}
