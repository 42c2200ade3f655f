#!/usr/bin/python
"""Certificates of a cluster: keys are made where they are used and never leave their host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_pki
short_description: Make, request, sign and install certificates
description:
  - C(secrets) makes what control planes share where it is missing (authorities, service-account pair) and returns it.
  - C(discovered) learns the cluster's authority from its API servers, on a host that knows a bootstrap token.
  - C(request) returns signing requests for the certificates of this host that are missing or do not serve any more,
    and for a worker whether it has to join by a bootstrap token. A certificate of the node that the cluster refuses,
    because the node was removed, is taken away.
  - C(sign) signs the requests of one or many hosts; only on a host with the authorities. It makes the token, too.
  - C(installed) puts authorities, signed certificates and kubeconfigs in place.
  - Needs the release installed on the host.
options:
  state:
    description: Which of the five steps.
    choices: [secrets, discovered, request, sign, installed]
    type: str
    required: true
  cluster:
    description: >-
      name, service_cidr, dns_domain, api_servers (addresses), api_port, extra_sans, api_vip, leaf_seconds,
      authority_seconds.
    type: dict
    required: true
  hosts:
    description: "Hosts by name: address, control_plane, and address6 (the second address of dual stack)."
    type: dict
    required: true
  name:
    description: Name of this host in I(hosts).
    type: str
  authorities:
    description: Certificates of the authorities by name, PEM.
    type: dict
    default: {}
  given:
    description: For C(secrets), authorities that the operator brings; name to a list of certificate and key.
    type: dict
    default: {}
  renew_issued_before:
    description: For C(request), certificates issued before this are renewed too; seconds since the epoch.
    type: float
    default: 0
  secrets:
    description: What C(secrets) returned, for control planes.
    type: dict
  requests:
    description: For C(sign), host name to requests.
    type: dict
    default: {}
  signed:
    description: For C(installed), certificates by name.
    type: dict
    default: {}
  joining:
    description: For C(sign), names of the hosts that need a bootstrap token.
    type: list
    elements: str
    default: []
  token:
    description:
      - A bootstrap token; for C(discovered), and for C(installed) on a worker that joins.
    type: str
  unused_token:
    description:
      - For C(sign), a token of an interrupted run to use again. It is returned, and what an option hides is hidden in
        results too, so this one is kept from logs by C(no_log) of its task.
    type: str
    default: ""
  ca_hash:
    description: For C(discovered), the hash of the authority's public key, C(sha256:) and hexadecimal digits.
    type: str
author: [kdist]
"""
EXAMPLES = r"""
- name: Ask for certificates
  kdist_pki:
    state: request
    cluster: "{{ pki_cluster }}"
    hosts: "{{ pki_hosts }}"
    name: "{{ inventory_hostname }}"
    authorities: "{{ authorities }}"
"""
RETURN = r"""
requests:
  description: For C(request), certificate name to PEM request.
  returned: state is request
  type: dict
reasons:
  description: Why each is needed.
  returned: state is request
  type: dict
joins:
  description: For C(request) on a worker, why it needs a bootstrap token; empty when it has its certificate.
  returned: state is request
  type: str
token:
  description: The bootstrap token. C(request) returns one that is on the host and was not used, C(sign) that or a new
    one when a host joins. It works once the cluster knows it.
  returned: state is request or sign
  type: str
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release

# What a host asks for in check mode whose keys are still to be made: that something will be signed, and nothing yet.
PENDING = {"pending": ""}
# And the token that it would join by: of a token's form, and nobody's.
PENDING_TOKEN = "000000.0000000000000000"


def secrets_out(secrets):
    return {
        "authorities": {
            name: {"certificate": pair.certificate.decode(), "key": pair.key.decode()}
            for name, pair in secrets.authorities.items()
        },
        "service_account_key": secrets.service_account_key.decode(),
        "service_account_public_key": secrets.service_account_public_key.decode(),
    }


def secrets_in(given):
    from kdist.pki.files import Secrets
    from kdist.pki.issue import Pair

    pairs = {
        name: Pair(pair["certificate"].encode(), pair["key"].encode())
        for name, pair in given["authorities"].items()
    }
    return Secrets(pairs, given["service_account_key"].encode(), given["service_account_public_key"].encode())


def certificates(given):
    return {name: text.encode() for name, text in given.items()}


def make_secrets(module, files, cluster, hosts):
    missing = files.missing_secrets()
    if missing and module.check_mode:
        return {"changed": True, "secrets": None, "authorities": {}, "made": missing}
    secrets, made = files.ensure_secrets(operators(module, files), cluster.authority_lifetime)
    public = {name: pair.certificate.decode() for name, pair in secrets.authorities.items()}
    return {"changed": bool(made), "secrets": secrets_out(secrets), "authorities": public, "made": made}


def operators(module, files):
    """The operator's authorities; one that is not the cluster's is exchanged by phases and never just replaced."""
    from kdist.pki import custom, plan
    from kdist.pki.issue import Pair
    from kdist.pki.rotation import certificates as parts

    given = {
        name: Pair(custom.authority(certificate.encode()), key.encode() + b"\n")
        for name, (certificate, key) in module.params["given"].items()
    }
    for spec in plan.AUTHORITIES:
        present = files.authority(spec)
        if spec.name not in given or present is None:
            continue
        if parts(given[spec.name].certificate)[0] not in parts(present.certificate):
            raise ValueError(
                f"kdist_authorities names another {spec.name} than the cluster has: bring it in with "
                f"`kdist pki rotate --authority {spec.name}`, or take it out of the cluster file"
            )
    return given


def discover(module, files, cluster, hosts):
    from kdist.lifecycle.join import discovery
    from kdist.pki import plan

    host = hosts[module.params["name"]]
    authority = discovery.discover(
        plan.servers(cluster, host), module.params["token"], module.params["ca_hash"]
    )
    return {"changed": False, "authorities": {"ca": authority.decode()}}


def make_requests(module, files, cluster, hosts):
    from kdist.pki import plan

    authorities = certificates(module.params["authorities"])
    host = hosts[module.params["name"]]
    if not authorities:  # check mode on an empty host: everything is still to be issued
        wanted = {leaf.name: "missing" for leaf in plan.leaves(cluster, host)}
        return {
            "changed": True,
            "requests": PENDING if wanted else {},
            "reasons": wanted,
            "joins": "" if wanted else "missing",
            "token": "",
        }
    refused = take_refused(module, files, cluster, host, authorities["ca"])
    joins = "" if host.control_plane else refused or files.joins(host, authorities["ca"]) or ""
    moment = datetime.datetime.fromtimestamp(module.params["renew_issued_before"], datetime.UTC)
    wanted = files.requests(cluster, host, authorities, dry_run=module.check_mode, renew_issued_before=moment)
    if module.params["renew_issued_before"] and not module.check_mode:
        files.ask_agent(moment)
    token = files.bootstrap_token() if joins else ""
    return {
        "changed": bool(wanted) or bool(refused) or (bool(joins) and not token),
        "joins": joins,
        "token": token,
        "requests": {name: want.request.decode() for name, want in wanted.items()},
        "reasons": {name: want.reason for name, want in wanted.items()},
    }


def take_refused(module, files, cluster, host, authority):
    """Take away the node's certificate when the cluster refuses it, so that it gets another one; why it does."""
    from kdist.lifecycle.join import standing
    from kdist.pki import plan

    certificate = files.path(plan.NODE_CLIENT_FILE)
    reason = standing.refusal(plan.servers(cluster, host), authority, certificate, host.name)
    if reason and not module.check_mode:
        certificate.unlink(missing_ok=True)
    return reason


def sign(module, files, cluster, hosts):
    from kdist.lifecycle.join import tokens
    from kdist.pki.files import sign_all

    pending = any(asked == PENDING for asked in module.params["requests"].values())
    if module.check_mode and (pending or module.params["joining"]):
        made = PENDING_TOKEN if module.params["joining"] else ""
        return {"changed": True, "signed": {}, "token": module.params["unused_token"] or made}
    pairs = files.secrets().authorities
    signed = {
        name: {k: v.decode() for k, v in sign_all(cluster, hosts[name], certificates(asked), pairs).items()}
        for name, asked in module.params["requests"].items()
        if asked
    }
    given = module.params["unused_token"]
    token = given or (tokens.generate() if module.params["joining"] else "")
    return {"changed": bool(signed) or token != given, "signed": signed, "token": token}


def install(module, files, cluster, hosts):
    if module.check_mode:
        token = module.params["token"]
        changed = bool(module.params["signed"]) or (token is not None and token != files.bootstrap_token())
        return {"changed": changed, "installed": sorted(module.params["signed"])}
    secrets = secrets_in(module.params["secrets"]) if module.params["secrets"] else None
    authorities = certificates(module.params["authorities"])
    signed = certificates(module.params["signed"])
    done = files.install(
        cluster, hosts[module.params["name"]], signed, authorities, secrets, module.params["token"] or None
    )
    return {"changed": bool(done), "installed": done}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["secrets", "discovered", "request", "sign", "installed"],
                "required": True,
            },
            "cluster": {"type": "dict", "required": True},
            "hosts": {"type": "dict", "required": True},
            "name": {"type": "str"},
            "given": {"type": "dict", "default": {}, "no_log": True},
            "renew_issued_before": {"type": "float", "default": 0},
            "authorities": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "no_log": True},
            "requests": {"type": "dict", "default": {}},
            "signed": {"type": "dict", "default": {}},
            "joining": {"type": "list", "elements": "str", "default": []},
            "token": {"type": "str", "no_log": True},
            "unused_token": {"type": "str", "default": "", "no_log": False},
            "ca_hash": {"type": "str"},
        },
        supports_check_mode=True,
    )
    steps = {
        "secrets": make_secrets,
        "discovered": discover,
        "request": make_requests,
        "sign": sign,
        "installed": install,
    }
    try:
        use_release()
        from kdist.lifecycle.join.discovery import NotTrusted
        from kdist.pki import plan
        from kdist.pki.files import HostFiles
        from kdist.pki.issue import RequestRefused
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: all of it is still to come
            worker = not module.params["hosts"].get(module.params["name"], {}).get("control_plane", True)
            module.exit_json(
                changed=True,
                requests={} if worker else PENDING,
                reasons={},
                joins="missing" if worker else "",
                authorities={},
                secrets=None,
                signed={},
                token=PENDING_TOKEN if module.params["joining"] else "",
            )
        module.fail_json(msg=str(error))
    given = dict(module.params["cluster"])
    for key in ("api_servers", "extra_sans"):
        given[key] = tuple(given.get(key) or ())
    cluster = plan.Cluster(**given)
    hosts = {
        name: plan.Host(name, found["address"], found["control_plane"], found.get("address6") or "")
        for name, found in module.params["hosts"].items()
    }
    try:
        module.exit_json(**steps[module.params["state"]](module, HostFiles(), cluster, hosts))
    except (NotTrusted, RequestRefused, OSError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
