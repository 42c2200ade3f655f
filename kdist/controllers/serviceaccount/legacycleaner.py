"""Generated tokens that nobody uses: marked invalid first, deleted as long afterwards.

Only Secrets that an account lists as its own count as generated, and none that a pod mounts. The API server
notes the day of last use on the Secret, and since when it does so in a ConfigMap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from kdist.api import meta
from kdist.api.errors import ApiError, Conflict, NotFound
from kdist.api.kinds import CONFIG_MAPS, PODS, SECRETS, SERVICE_ACCOUNTS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.serviceaccount.tokens import NAME, TYPE, UID
from kdist.telemetry import log

_log = log.get(__name__)
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
INTERVAL_SECONDS = 86400.0


def day(text: str) -> datetime | None:
    """A date as the labels have it."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def verdict(secret: Obj, account: Obj | None, mounted: bool, keep: datetime, now: datetime) -> str | None:
    """``invalidate``, ``delete`` or None for one Secret; ``keep`` is the time from which on use counts."""
    labels = meta.labels(secret)
    created = meta.parse_time(secret["metadata"]["creationTimestamp"])
    if secret.get("type") != TYPE or created >= keep or meta.is_deleting(secret) or mounted:
        return None
    if LAST_USED in labels:
        used = day(labels[LAST_USED])
        if used is None or used.date() >= keep.date():
            return None
    if account is None or not any(s.get("name") == meta.name(secret) for s in account.get("secrets") or ()):
        return None
    invalid = day(labels.get(INVALID_SINCE, ""))
    if invalid is None:
        return "invalidate"
    return "delete" if invalid.date() < keep.date() else None


def secrets_of(pod: Obj) -> Iterator[str]:
    """The names of the Secrets that a pod mounts or reads."""
    spec = pod.get("spec") or {}
    for volume in spec.get("volumes") or ():
        if volume.get("secret"):
            yield volume["secret"].get("secretName", "")
        for source in meta.get(volume, "projected.sources", ()):
            if source.get("secret"):
                yield source["secret"].get("name", "")
    for ref in spec.get("imagePullSecrets") or ():
        yield ref.get("name", "")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            for variable in container.get("env") or ():
                yield meta.get(variable, "valueFrom.secretKeyRef.name", "")
            for source in container.get("envFrom") or ():
                yield meta.get(source, "secretRef.name", "")


class LegacyTokenCleaner(Controller):
    """Looks once a day; nothing is enqueued."""

    name = "legacy-serviceaccount-token-cleaner-controller"

    def setup(self) -> None:
        """Watch accounts, their Secrets, and pods."""
        self._period = timedelta(seconds=self.settings.legacy_service_account_token_clean_up_period)
        self._accounts = self.watch(SERVICE_ACCOUNTS)
        self._secrets = self.watch(SECRETS, field_selector=f"type={TYPE}")
        self._pods = self.watch(PODS)

    async def reconcile(self, key: str) -> float | None:
        """Nothing: the daily round does it."""
        return None

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """The daily round."""
        yield self._daily()

    async def _daily(self) -> None:
        while True:
            try:
                await self.clean(datetime.now(UTC))
            except ApiError as error:
                _log.warning("cannot clean up tokens", error=error.message)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def clean(self, now: datetime) -> None:
        """One round. ApiError."""
        if not self._secrets.list():
            return
        since = await self._tracked_since()
        if since is None or now < since + self._period:
            return
        for secret in self._secrets.list():
            account = self._account(secret)
            what = verdict(secret, account, self._is_mounted(secret), now - self._period, now)
            if what is not None:
                await self._carry_out(what, secret, now)

    async def _tracked_since(self) -> datetime | None:
        """The day after tracking began: the first day of which everything is known."""
        try:
            tracking = await self.client.get(CONFIG_MAPS, TRACKING, "kube-system")
        except NotFound:
            return None
        began = day(meta.get(tracking, "data.since", ""))
        return began + timedelta(days=1) if began is not None else None

    def _account(self, secret: Obj) -> Obj | None:
        annotations = meta.annotations(secret)
        found = self._accounts.get(f"{meta.namespace(secret)}/{annotations.get(NAME, '')}")
        uid = annotations.get(UID, "")
        return None if found is not None and uid and uid != meta.uid(found) else found

    def _is_mounted(self, secret: Obj) -> bool:
        name = meta.name(secret)
        return any(name in secrets_of(pod) for pod in self._pods.list(meta.namespace(secret)))

    async def _carry_out(self, what: str, secret: Obj, now: datetime) -> None:
        name, namespace = meta.name(secret), meta.namespace(secret)
        _log.info("an unused token", namespace=namespace, name=name, step=what)
        try:
            if what == "delete":
                version = secret["metadata"]["resourceVersion"]
                await self.client.delete(SECRETS, name, namespace, resource_version=version)
            else:
                labels = {INVALID_SINCE: f"{now:%Y-%m-%d}"}
                metadata = {"uid": meta.uid(secret), "labels": labels}
                await self.client.patch(SECRETS, name, {"metadata": metadata}, namespace)
        except (Conflict, NotFound):
            return
