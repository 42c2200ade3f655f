"""The snapshot of etcd before anything changes: taken and verified on a control plane by its own ``kdist etcd``."""

from __future__ import annotations

import json

from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site

REASON = "upgrade"
TIMEOUT = 900
_COMMAND = f"/opt/kdist/current/bin/kdist etcd local snapshot --reason {REASON}"


async def take(site: Site) -> str:
    """Take and verify a snapshot on the first control plane that can; what it is and where. Raises HostError.

    It lies with those of the schedule, has the keys of encryption at rest with it, and ``kdist etcd restore`` takes it.
    """
    failures: list[HostError] = []
    for host in site.control_planes:
        try:
            taken = json.loads(await site.run(host, _COMMAND, timeout=TIMEOUT))
        except HostError as error:
            failures.append(error)
            continue
        return f"{host}: {taken['name']}, revision {taken['revision']}, {taken['keys']} keys"
    raise failures[0]
