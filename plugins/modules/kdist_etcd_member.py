#!/usr/bin/python
"""This host's place in the cluster's etcd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_etcd_member
short_description: Join etcd as a learner, and give the learner its vote
description:
  - C(joined) runs before etcd is started. Where no control plane has data, it tells how all form the cluster; where
    there is one, it adds this host as a learner, ends a membership whose data is gone, and sets data aside whose
    membership has ended.
  - C(joined) refuses while another member does not answer, because a further one would leave no host to lose, and ends
    memberships of learners that never made it.
  - C(promoted) runs after etcd was started. It waits until the learner has caught up and gives it its vote. The action
    plug-in of the same name shows how far it is.
  - Neither does anything on a host that is a member.
  - Needs the release, etcdctl and the certificates on the host.
options:
  state:
    description: Which of the two.
    choices: [joined, promoted]
    type: str
    required: true
  name:
    description: Name of this host.
    type: str
    required: true
  address:
    description: Address of this host.
    type: str
    required: true
  control_planes:
    description: Name to address of every control plane of the inventory.
    type: dict
    required: true
  with_data:
    description: Names of control planes that have etcd data.
    type: list
    elements: str
    default: []
  data_directory:
    description: etcd's data.
    type: path
    default: /var/lib/etcd
  manifest:
    description: The static pod manifest, for the settings a member was born with.
    type: path
    default: /etc/kubernetes/manifests/etcd.yaml
  timeout:
    description: Seconds to wait for a promotion.
    type: int
    default: 120
author: [kdist]
"""
EXAMPLES = r"""
- name: Join etcd
  kdist_etcd_member:
    state: joined
    name: cp2
    address: 10.0.0.2
    control_planes: {cp1: 10.0.0.1, cp2: 10.0.0.2}
"""
RETURN = r"""
authority:
  description: For C(joined), a digest of the authorities that etcd trusts.
  returned: state is joined
  type: str
initial_cluster:
  description: For C(joined), the value of --initial-cluster.
  returned: state is joined
  type: str
left_behind:
  description: For C(joined), learners whose membership was ended.
  returned: state is joined
  type: list
initial_cluster_state:
  description: For C(joined), new or existing.
  returned: state is joined
  type: str
learner:
  description: For C(joined), whether this host has no vote yet.
  returned: state is joined
  type: bool
step:
  description: For C(joined), what was done.
  returned: state is joined
  type: str
waited:
  description: For C(promoted), seconds.
  returned: state is promoted
  type: float
"""

import hashlib
import re
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release


def client_urls(addresses):
    return [f"https://[{a}]:2379" if ":" in a else f"https://{a}:2379" for a in addresses]


def born_with(manifest):
    """The initial cluster and its state in a manifest: etcd reads them once, at birth; a change would restart it."""
    try:
        text = manifest.read_text()
    except FileNotFoundError:
        return None
    found = [re.search(rf"--{flag}=(\S+)", text) for flag in ("initial-cluster", "initial-cluster-state")]
    return (found[0][1], found[1][1] if found[1] else "new") if found[0] else None


def known_members(others, pki):
    from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError

    if not others or not pki.exists():
        return None, None
    etcd = Etcdctl(client_urls(others), pki)
    try:
        return etcd, etcd.members()
    except EtcdctlError:
        return etcd, None


def silent(members):
    """Ids of the members that do not answer."""
    from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError

    found = []
    for member in members or ():
        try:
            Etcdctl([client_url(member)]).run("endpoint", "status", timeout=3)
        except EtcdctlError:
            found.append(member.id)
    return found


def client_url(member):
    return member.peer_urls[0].replace(":2380", ":2379")


def behind(member, members):
    """How far a learner's log is, and how far the longest is; None while one of them does not answer."""
    from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError

    try:
        reached = {
            m.id: Etcdctl([client_url(m)]).run("endpoint", "status", timeout=3)[0]["Status"]["raftIndex"]
            for m in members
        }
    except EtcdctlError:
        return None
    return {"learner": reached[member.id], "longest": max(reached.values())}


def authority(path):
    """What tells one bundle of authorities from another: etcd reads it when it starts, so a change restarts it."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def set_aside(params):
    from kdist.lifecycle.etcd import staticpod

    # An etcd that is about to restart on an empty directory would begin a cluster of its own.
    places = staticpod.Places(manifests=Path(params["manifest"]).parent, data=Path(params["data_directory"]))
    staticpod.stop(places)
    staticpod.set_aside(places)


def join(module):
    from kdist.lifecycle.etcd import members as etcd_members
    from kdist.lifecycle.etcd.etcdctl import PKI
    from kdist.lifecycle.etcd.members import Step

    params = module.params
    name, address, planes = params["name"], params["address"], params["control_planes"]
    data = Path(params["data_directory"], "member")
    others = [a for n, a in planes.items() if n != name]
    etcd, members = known_members(others, PKI)
    plan = etcd_members.plan(
        name,
        address,
        has_data=data.exists(),
        members=members,
        others_with_data=[n for n in params["with_data"] if n != name],
        silent=[] if data.exists() else silent(members),
    )
    if plan.step in (Step.ADD, Step.REPLACE, Step.SET_ASIDE) and not module.check_mode:
        for member in (*plan.left_behind, *([plan.old] if plan.old else [])):
            etcd.remove(member)
        if plan.step is Step.SET_ASIDE:
            set_aside(params)
        etcd.add_learner(name, etcd_members.peer_url(address))
    initial = (etcd_members.initial_cluster(planes), "new")
    if plan.step is Step.KEEP:
        initial = born_with(Path(params["manifest"])) or initial
    elif plan.step is not Step.FORM:
        known = [m for m in members if m != plan.old and m not in plan.left_behind]
        initial = (etcd_members.joined(known, name, address), "existing")
    mine = next((m for m in members or () if m.name == name), None)
    return {
        "changed": plan.step in (Step.ADD, Step.REPLACE, Step.SET_ASIDE),
        "step": plan.step.value,
        "left_behind": [m.name or m.peer_urls[0] for m in plan.left_behind],
        "learner": plan.step not in (Step.KEEP, Step.FORM) or (mine is not None and mine.learner),
        "authority": authority(PKI / "ca.crt"),
        "initial_cluster": initial[0],
        "initial_cluster_state": initial[1],
    }


def promote(module):
    from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError

    params = module.params
    # A learner does not answer member lists itself.
    others = [a for n, a in params["control_planes"].items() if n != params["name"]]
    if not others:
        return {"changed": False, "waited": 0.0}
    etcd, started, told, progress = Etcdctl(client_urls(others)), time.monotonic(), "", None
    while (waited := time.monotonic() - started) < params["timeout"]:
        try:
            members = etcd.members()
            mine = next((m for m in members if m.name == params["name"]), None)
            if mine is not None and not mine.learner:
                return {"changed": bool(told), "waited": waited}
            told = "it has not started yet: see `journalctl -u kdist-agent` and /var/log/pods there"
            if mine is not None:
                told = "it has not caught up yet"
                progress = behind(mine, members)
                etcd.promote(mine)
        except EtcdctlError as error:
            told = str(error)
        time.sleep(0.5)
    module.fail_json(
        msg=f"etcd of {params['name']} did not become a voting member within {params['timeout']} s: {told}. "
        "The cluster works without it; run the playbook again to go on.",
        reason=told,
        progress=progress,
    )
    return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["joined", "promoted"], "required": True},
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "control_planes": {"type": "dict", "required": True},
            "with_data": {"type": "list", "elements": "str", "default": []},
            "data_directory": {"type": "path", "default": "/var/lib/etcd"},
            "manifest": {"type": "path", "default": "/etc/kubernetes/manifests/etcd.yaml"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        use_release()
        from kdist.lifecycle.etcd.etcdctl import EtcdctlError
        from kdist.lifecycle.etcd.members import Degraded, NoQuorum
        from kdist.lifecycle.etcd.staticpod import StaticPodError
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: all of it is still to come
            joins = module.params["state"] == "joined" and bool(module.params["with_data"])
            step = "add" if joins else "form"
            told = {"authority": "", "left_behind": [], "initial_cluster": "", "initial_cluster_state": "new"}
            module.exit_json(changed=joins, step=step, learner=False, **told)
        module.fail_json(msg=str(error))
    if module.params["state"] == "promoted" and module.check_mode:
        module.exit_json(changed=False, waited=0.0)
    try:
        module.exit_json(**(join if module.params["state"] == "joined" else promote)(module))
    except (Degraded, EtcdctlError, NoQuorum, StaticPodError) as error:
        module.fail_json(msg=f"{module.params['name']}: {error}")


if __name__ == "__main__":
    main()
