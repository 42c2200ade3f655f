#!/usr/bin/python
"""Certificates of a cluster: keys are made where they are used and never leave their host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_pki
short_description: Make, request, sign and install certificates
description:
  - C(secrets) makes what control planes share where it is missing (authorities, service-account pair) and returns it.
  - C(request) returns signing requests for the certificates of this host that are missing or do not serve any more.
  - C(sign) signs the requests of one or many hosts; only on a host with the authorities.
  - C(installed) puts authorities, signed certificates and kubeconfigs in place.
  - Needs the release installed on the host.
options:
  state:
    description: Which of the four steps.
    choices: [secrets, request, sign, installed]
    type: str
    required: true
  cluster:
    description: >-
      name, service_cidr, dns_domain, api_servers (addresses), api_port, extra_sans, api_vip, leaf_seconds,
      authority_seconds.
    type: dict
    required: true
  hosts:
    description: "Hosts by name: address, control_plane."
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
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release

# What a host asks for in check mode whose keys are still to be made: that something will be signed, and nothing yet.
PENDING = {"pending": ""}


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
    from kdist.pki import plan
    from kdist.pki.issue import Pair
    from kdist.pki.rotation import certificates as parts

    given = {
        name: Pair(*(pem.encode() + b"\n" for pem in pair)) for name, pair in module.params["given"].items()
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


def make_requests(module, files, cluster, hosts):
    from kdist.pki import plan

    authorities = certificates(module.params["authorities"])
    host = hosts[module.params["name"]]
    if not authorities:  # check mode on an empty host: everything is still to be issued
        wanted = {leaf.name: "missing" for leaf in plan.leaves(cluster, host)}
        return {"changed": True, "requests": PENDING, "reasons": wanted}
    moment = datetime.datetime.fromtimestamp(module.params["renew_issued_before"], datetime.UTC)
    wanted = files.requests(cluster, host, authorities, dry_run=module.check_mode, renew_issued_before=moment)
    return {
        "changed": bool(wanted),
        "requests": {name: want.request.decode() for name, want in wanted.items()},
        "reasons": {name: want.reason for name, want in wanted.items()},
    }


def sign(module, files, cluster, hosts):
    from kdist.pki.files import sign_all

    if module.check_mode and any(asked == PENDING for asked in module.params["requests"].values()):
        return {"changed": True, "signed": {}}
    pairs = files.secrets().authorities
    signed = {
        name: {k: v.decode() for k, v in sign_all(cluster, hosts[name], certificates(asked), pairs).items()}
        for name, asked in module.params["requests"].items()
        if asked
    }
    return {"changed": bool(signed), "signed": signed}


def install(module, files, cluster, hosts):
    if module.check_mode:
        return {"changed": bool(module.params["signed"]), "installed": sorted(module.params["signed"])}
    secrets = secrets_in(module.params["secrets"]) if module.params["secrets"] else None
    authorities = certificates(module.params["authorities"])
    signed = certificates(module.params["signed"])
    done = files.install(cluster, hosts[module.params["name"]], signed, authorities, secrets)
    return {"changed": bool(done), "installed": done}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["secrets", "request", "sign", "installed"],
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
        },
        supports_check_mode=True,
    )
    steps = {"secrets": make_secrets, "request": make_requests, "sign": sign, "installed": install}
    try:
        use_release()
        from kdist.pki import plan
        from kdist.pki.files import HostFiles
        from kdist.pki.issue import RequestRefused
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: all of it is still to come
            module.exit_json(
                changed=True, requests=PENDING, reasons={}, authorities={}, secrets=None, signed={}
            )
        module.fail_json(msg=str(error))
    given = dict(module.params["cluster"])
    for key in ("api_servers", "extra_sans"):
        given[key] = tuple(given.get(key) or ())
    cluster = plan.Cluster(**given)
    hosts = {
        name: plan.Host(name, found["address"], found["control_plane"])
        for name, found in module.params["hosts"].items()
    }
    try:
        module.exit_json(**steps[module.params["state"]](module, HostFiles(), cluster, hosts))
    except (RequestRefused, OSError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
