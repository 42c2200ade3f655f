#!/usr/bin/python
"""Certificates of a running host: which there are, exchanging the authorities, whether all is taken up."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_certificates
short_description: Survey certificates, exchange authorities, wait until a host uses what it was given
description:
  - C(surveyed) lists every certificate of the host with its issuer and its end.
  - C(exchanged) takes one phase of the exchange of authorities; only on the host that keeps them. A phase that was
    taken before changes nothing; without I(phase) it only tells the states.
  - C(settled) waits until every server and pod of the host uses the certificates and authorities that lie on it.
  - Needs the release installed on the host.
options:
  state:
    description: What to do.
    choices: [surveyed, exchanged, settled]
    type: str
    required: true
  authorities:
    description: For C(exchanged), which ones (ca, etcd-ca, front-proxy-ca, service-account).
    type: list
    elements: str
    default: []
  phase:
    description: For C(exchanged), trust, issue or drop.
    choices: [trust, issue, drop]
    type: str
  given:
    description: For C(exchanged), authorities that the operator brings; name to a list of certificate and key.
    type: dict
    default: {}
  authority_seconds:
    description: For C(exchanged), how long a new authority serves.
    type: int
    default: 315360000
  token_wait_seconds:
    description: For C(exchanged), how long the old token key is believed at least after the new one signs.
    type: int
    default: 86400
  address:
    description: For C(settled), the host's address.
    type: str
  control_plane:
    description: For C(settled), whether the host carries the control plane.
    type: bool
    default: false
  api_port:
    description: For C(settled), port of the API server.
    type: int
    default: 6443
  renew_issued_before:
    description: For C(settled), certificates issued before this must be gone; seconds since the epoch.
    type: float
    default: 0
  pods:
    description: For C(settled), whether to wait for what pods see too, which follows within two minutes.
    type: bool
    default: true
  timeout:
    description: For C(settled), seconds.
    type: int
    default: 180
author: [kdist]
"""
EXAMPLES = r"""
- name: Let every host trust the authorities to come
  kdist_certificates:
    state: exchanged
    authorities: [ca, etcd-ca]
    phase: trust
"""
RETURN = r"""
certificates:
  description: For C(surveyed), path, subject, issuer, not_before, not_after (seconds since the epoch) and more.
  returned: state is surveyed
  type: list
unreadable:
  description: For C(surveyed), files that should hold a certificate and do not.
  returned: state is surveyed
  type: list
states:
  description: For C(exchanged), authority to stable, trusted or issued.
  returned: state is exchanged
  type: dict
waited:
  description: For C(settled), seconds.
  returned: state is settled
  type: float
"""

import datetime
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release


def surveyed(module):
    from kdist.pki import survey

    found, unreadable = survey.look()
    return {
        "changed": False,
        "certificates": [one.to_json() for one in found],
        "unreadable": [{"path": bad.path, "reason": bad.reason} for bad in unreadable],
        "now": time.time(),
    }


def exchanged(module):
    from kdist.pki.files import HostFiles
    from kdist.pki.rotation import NAMES, NEXT, Exchange, Phase, too_early

    params = module.params
    names = params["authorities"] or list(NAMES)
    exchanges = {name: Exchange(HostFiles(), name) for name in names}
    changed = []
    if params["phase"]:
        phase = Phase(params["phase"])
        wait = datetime.timedelta(seconds=params["token_wait_seconds"])
        for name, exchange in exchanges.items():
            if phase is Phase.DROP and (told := too_early(exchange, wait)):
                module.fail_json(msg=f"{name}: {told}")
            if module.check_mode:
                changed += [name] if NEXT[exchange.state()] is phase else []
            elif exchange.advance(phase, lambda spec: maker(params, spec)):
                changed.append(name)
    states = {name: exchange.state().value for name, exchange in exchanges.items()}
    return {"changed": bool(changed), "advanced": changed, "states": states}


def maker(params, spec):
    from kdist.pki import custom
    from kdist.pki.issue import Pair, create_authority

    given = params["given"].get(spec.name)
    if given:
        certificate, key = given
        return Pair(custom.authority(certificate.encode()), key.encode() + b"\n")
    return create_authority(spec, datetime.timedelta(seconds=params["authority_seconds"]))


def settled(module):
    from kdist.lifecycle.certificates.settled import unsettled
    from kdist.pki.plan import Host

    params = module.params
    host = Host("", params["address"], params["control_plane"])
    began = time.monotonic()
    while told := unsettled(
        host, params["api_port"], pods=params["pods"], issued_before=params["renew_issued_before"]
    ):
        if time.monotonic() - began > params["timeout"]:
            module.fail_json(msg="does not use its present certificates yet: " + "; ".join(told))
        time.sleep(1)
    return {"changed": False, "waited": time.monotonic() - began}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["surveyed", "exchanged", "settled"], "required": True},
            "authorities": {"type": "list", "elements": "str", "default": []},
            "phase": {"type": "str", "choices": ["trust", "issue", "drop"]},
            "given": {"type": "dict", "default": {}, "no_log": True},
            "authority_seconds": {"type": "int", "default": 315360000},
            "token_wait_seconds": {"type": "int", "default": 86400, "no_log": False},
            "address": {"type": "str"},
            "control_plane": {"type": "bool", "default": False},
            "api_port": {"type": "int", "default": 6443},
            "renew_issued_before": {"type": "float", "default": 0},
            "pods": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 180},
        },
        required_if=[("state", "settled", ["address"])],
        supports_check_mode=True,
    )
    if module.check_mode and module.params["state"] == "settled":
        module.exit_json(changed=False, waited=0.0)
    try:
        use_release()
        from kdist.pki import survey  # noqa: F401
    except (FileNotFoundError, ImportError) as error:
        module.fail_json(msg=str(error))
    steps = {"surveyed": surveyed, "exchanged": exchanged, "settled": settled}
    try:
        module.exit_json(**steps[module.params["state"]](module))
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
