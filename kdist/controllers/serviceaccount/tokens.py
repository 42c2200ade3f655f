"""Tokens in Secrets: whoever creates a Secret of type service-account-token finds a token in it.

Such a token does not expire: it dies with its Secret or its account. Nobody is given one unasked; pods have
bound tokens.
"""

from __future__ import annotations

import base64

import jwt

from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import SECRETS, SERVICE_ACCOUNTS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.pki import jws

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"


def claims(account: Obj, secret: Obj) -> Obj:
    """What the token says; it names its Secret and its account."""
    namespace, name = meta.namespace(account), meta.name(account)
    return {
        "iss": ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": meta.name(secret),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": meta.uid(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def sign(key: jws.PrivateKey, content: Obj) -> str:
    """A compact JWS."""
    public = key.public_key()
    return jwt.encode(content, key, jws.algorithm(public), headers={"kid": jws.key_id(public)})


class ServiceAccountTokenController(Controller):
    """One key is one Secret."""

    name = "serviceaccount-token-controller"

    def setup(self) -> None:
        """Read the key and the CA; watch accounts and their Secrets."""
        path, ca = self.settings.service_account_private_key_file, self.settings.root_ca_file
        self._key = jws.load_private(path) if path else None
        if self._key is None:
            return
        self._ca = base64.b64encode(ca.read_bytes()).decode() if ca else ""
        self._accounts = self.watch(SERVICE_ACCOUNTS, self._account_changed, metadata_only=True)
        self._secrets = self.watch(SECRETS, self.enqueue, field_selector=f"type={TYPE}")

    def _account_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Secrets of an account that is gone go; those that waited for it get their token."""
        account = new or old or {}
        if old is not None and new is not None:
            return
        for secret in self._secrets.list(meta.namespace(account)):
            if meta.annotations(secret).get(NAME) == meta.name(account):
                self.queue.add(meta.key(secret))

    async def reconcile(self, key: str) -> float | None:
        """Fill in what is missing; delete the Secret of an account that is gone."""
        secret = self._secrets.get(key)
        if secret is None or meta.is_deleting(secret):
            return None
        account = await self._account(secret)
        if account is None:
            await self._delete(secret)
            return None
        wanted = self._filled(secret, account)
        if wanted == secret.get("data"):
            return None
        annotations = {**meta.annotations(secret), NAME: meta.name(account), UID: meta.uid(account)}
        metadata = {**secret["metadata"], "annotations": annotations}
        try:
            await self.client.update(SECRETS, {**secret, "metadata": metadata, "data": wanted})
        except (Conflict, NotFound):
            return None  # the watch tells what is there now
        return None

    async def _account(self, secret: Obj) -> Obj | None:
        annotations, namespace = meta.annotations(secret), meta.namespace(secret)
        name, uid = annotations.get(NAME, ""), annotations.get(UID, "")
        found = self._accounts.get(f"{namespace}/{name}")
        if found is None or (uid and uid != meta.uid(found)):  # the cache may be behind
            try:
                found = await self.client.get(SERVICE_ACCOUNTS, name, namespace)
            except NotFound:
                return None
        return None if uid and uid != meta.uid(found) else found

    def _filled(self, secret: Obj, account: Obj) -> Obj:
        assert self._key is not None, "nothing is watched without a key"
        data = dict(secret.get("data") or {})
        if self._ca:
            data["ca.crt"] = self._ca
        if not data.get("namespace"):
            data["namespace"] = base64.b64encode(meta.namespace(secret).encode()).decode()
        if not data.get("token"):
            token = sign(self._key, claims(account, secret))
            data["token"] = base64.b64encode(token.encode()).decode()
        return data

    async def _delete(self, secret: Obj) -> None:
        try:
            await self.client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except (Conflict, NotFound):
            return
