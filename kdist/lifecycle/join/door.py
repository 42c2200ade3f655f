"""Opens the cluster for hosts that join, and closes it behind them. Runs on a control-plane host.

The token is valid from :func:`open_door` until every host has come in (:func:`close_door`), or until it expires: an
interrupted run leaves no token that works for long.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kdist.api import kinds, meta
from kdist.api.errors import ApiError, NotFound
from kdist.api.meta import Obj
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle import objects
from kdist.lifecycle.join import tokens, trust
from kdist.lifecycle.join.names import common_name
from kdist.lifecycle.objects import Failed

# Longer than any install takes, shorter than a token is worth stealing.
TTL = timedelta(minutes=20)
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"


async def open_door(
    kubeconfig: str, info: Obj, token: str | None, hosts: Iterable[str], timeout: float, dry_run: bool
) -> list[str]:
    """Keep policy and cluster-info as they should be, make the token valid; what changed. Raises Failed."""
    wanted = [*trust.policy(), info]
    if token is not None:
        names = ", ".join(sorted(hosts))
        wanted.append(tokens.secret(token, TTL, datetime.now(UTC), f"made by site.yml for {names}"[:200]))
    return await objects.apply_objects(kubeconfig, wanted, timeout, dry_run)


async def close_door(kubeconfig: str, token: str, hosts: Iterable[str], timeout: float) -> float:
    """End the token, which every host has used by now, and wait until they are Ready; seconds. Raises Failed."""
    async with Client.from_kubeconfig(Path(kubeconfig), user_agent=objects.FIELD_MANAGER) as client:
        try:
            await client.delete(kinds.SECRETS, tokens.PREFIX + tokens.split(token)[0], tokens.NAMESPACE)
        except NotFound:
            pass  # it has expired
        except (ApiError, Unreachable) as error:
            raise Failed(f"the bootstrap token cannot be deleted; it expires by itself: {error}") from error
    return await objects.wait_ready(kubeconfig, hosts, False, timeout)


async def explain(kubeconfig: str, hosts: Iterable[str]) -> list[str]:
    """Why each of the hosts has no certificate yet, as the cluster knows it."""
    async with Client.from_kubeconfig(Path(kubeconfig), user_agent=objects.FIELD_MANAGER) as client:
        try:
            requests = (await client.list(kinds.CERTIFICATE_SIGNING_REQUESTS)).items
        except (ApiError, Unreachable) as error:
            return [f"the API server does not answer: {error}"]
        return standing(hosts, requests)


def standing(hosts: Iterable[str], requests: Iterable[Obj]) -> list[str]:
    """How far each host is on its way to a certificate."""
    asked: dict[str, Obj] = {}
    for csr in sorted(requests, key=lambda csr: str(meta.get(csr, "metadata.creationTimestamp", ""))):
        spec = csr["spec"]
        by_token = str(spec.get("username", "")).startswith("system:bootstrap:")
        if spec.get("signerName") == _CLIENT_SIGNER and by_token:
            asked[common_name(csr).removeprefix("system:node:")] = csr
    unheard = (
        "it has not asked for its certificate: it does not reach an API server, or its token is not valid"
    )
    return [f"{host}: {_standing(asked[host]) if host in asked else unheard}" for host in hosts]


def _standing(csr: Obj) -> str:
    conditions = {c.get("type"): c for c in meta.get(csr, "status.conditions", ())}
    for kind in ("Denied", "Failed"):
        if kind in conditions:
            return f"its request {meta.name(csr)} was {kind.lower()}: {conditions[kind].get('message', '')}"
    if meta.get(csr, "status.certificate"):
        return f"its request {meta.name(csr)} is signed, and its agent does not use the certificate"
    if "Approved" in conditions:
        return f"its request {meta.name(csr)} is approved and not signed: is a controller manager running?"
    return f"its request {meta.name(csr)} waits for approval: is a controller manager running?"
