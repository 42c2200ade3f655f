"""Tokens in Secrets: whoever creates a Secret of type service-account-token finds a token in it.

Such a token does not expire: it dies with its Secret or its account. Nobody is given one unasked; pods have
bound tokens.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Container, Coroutine, Iterable
from pathlib import Path
from typing import Any

import jwt

from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import SECRETS, SERVICE_ACCOUNTS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.pki import jws
from kdist.pki.following import Followed

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
LOOK_SECONDS = 5.0


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("latin-1")


def _encoded(ca: Path | None) -> str:
    return base64.b64encode(ca.read_bytes()).decode() if ca else ""


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


def believed(private: Path) -> frozenset[str]:
    """The ids of the keys whose tokens API servers believe: the public keys beside the private one, and its own.

    OSError, ValueError.
    """
    keys = [jws.load_private(private).public_key()]
    public = private.with_suffix(".pub")
    if public.exists():
        keys += jws.load_public(public)
    return frozenset(jws.key_id(key) for key in keys)


def is_outlived(token: str, keys: Container[str]) -> bool:
    """Whether the key that signed a token is believed no more, since it was exchanged. Other texts are let be."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError:
        return False
    return kid is not None and kid not in keys


class ServiceAccountTokenController(Controller):
    """One key is one Secret."""

    name = "serviceaccount-token-controller"

    def setup(self) -> None:
        """Read the key and the CA; watch accounts and their Secrets."""
        path, ca = self.settings.service_account_private_key_file, self.settings.root_ca_file
        if path is None:
            return
        self._key = Followed(lambda: jws.load_private(path), [path])
        self._ca = Followed(lambda: _encoded(ca), [ca] if ca else [])
        self._ca.on_change(self._all_again)
        self._believed = Followed(lambda: believed(path), [path, path.with_suffix(".pub")])
        self._believed.on_change(self._all_again)
        self._accounts = self.watch(SERVICE_ACCOUNTS, self._account_changed, metadata_only=True)
        self._secrets = self.watch(SECRETS, self.enqueue, field_selector=f"type={TYPE}")

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Look at the CA and the keys now and then: the Secrets carry it, and tokens by them."""
        return [self._look()] if self.settings.service_account_private_key_file else []

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._ca.current()
            self._believed.current()

    def _all_again(self, _: object) -> None:
        for secret in self._secrets.list():
            self.queue.add(meta.key(secret))

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
        data = dict(secret.get("data") or {})
        if authority := self._ca.current():
            data["ca.crt"] = authority
        if not data.get("namespace"):
            data["namespace"] = base64.b64encode(meta.namespace(secret).encode()).decode()
        if not data.get("token") or is_outlived(_decoded(data["token"]), self._believed.current()):
            token = sign(self._key.current(), claims(account, secret))
            data["token"] = base64.b64encode(token.encode()).decode()
        return data

    async def _delete(self, secret: Obj) -> None:
        try:
            await self.client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except (Conflict, NotFound):
            return
