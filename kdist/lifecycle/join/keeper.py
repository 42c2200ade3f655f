"""Which control plane signs for hosts that join when none of them is part of the run (``site.yml --limit WORKER``)."""

from __future__ import annotations

from collections.abc import Sequence

from kdist.lifecycle.operation.remote import HostError, Reach, run_on
from kdist.pki.plan import CLUSTER_CA


async def of(control_planes: Sequence[Reach]) -> tuple[str | None, list[str]]:
    """The first that answers and has the authority's key, and why those before it were passed over."""
    passed = []
    for reach in control_planes:
        try:
            await run_on(reach, f"test -e {CLUSTER_CA.path}.key", timeout=30)
        except HostError as error:
            passed.append(str(error) if not error.reached else f"{reach.name}: has no key of the authority")
            continue
        return reach.name, passed
    return None, passed
