"""Keeps the signatures of kube-public/cluster-info: one by every token that may sign.

A joining host knows nothing but a token: with its signature it believes the kubeconfig and the CA in the map.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import CONFIG_MAPS, SECRETS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.bootstraptokens import token as tokens
from kdist.controllers.bootstraptokens.token import Token

NAMESPACE, NAME = "kube-public", "cluster-info"
_KUBECONFIG, _SIGNATURE = "kubeconfig", "jws-kubeconfig-"


def signed(data: dict[str, str], holders: Iterable[Token], now: datetime) -> dict[str, str] | None:
    """The map's data with exactly the signatures it should have; None without anything to sign."""
    content = data.get(_KUBECONFIG)
    if content is None:
        return None
    kept = {key: value for key, value in data.items() if not key.startswith(_SIGNATURE)}
    valid = [token for token in holders if token.signs and not token.is_expired(now)]
    return kept | {_SIGNATURE + token.id: tokens.sign(content, token) for token in valid}


class BootstrapSigner(Controller):
    """There is one key: the map."""

    name = "bootstrap-signer-controller"
    on_by_default = False
    workers = 1

    def setup(self) -> None:
        """Watch the map and the tokens."""
        self._maps = self.watch(
            CONFIG_MAPS, self._changed, namespace=NAMESPACE, field_selector=f"metadata.name={NAME}"
        )
        self._secrets = self.watch(
            SECRETS, self._changed, namespace="kube-system", field_selector=f"type={tokens.TYPE}"
        )

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        self.queue.add(f"{NAMESPACE}/{NAME}")

    async def reconcile(self, key: str) -> float | None:
        """Write the signatures where they differ; look again when the next token expires."""
        found = self._maps.get(key)
        if found is None:
            return None
        now = datetime.now(UTC)
        holders = [token for secret in self._secrets.list() if (token := tokens.read(secret))]
        data = signed(found.get("data") or {}, holders, now)
        if data is not None and data != found.get("data"):
            try:
                await self.client.update(CONFIG_MAPS, {**found, "data": data})
            except (Conflict, NotFound):
                return None  # the watch tells what is there now
        ends = [t.expires for t in holders if t.signs and t.expires is not None and t.expires > now]
        return (min(ends) - now).total_seconds() + 1 if ends else None
