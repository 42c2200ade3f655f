"""Images of this node: present, pulled by policy, with back-off and the pod's own credentials."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterable

import orjson

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import errors
from kdist.agent.cri.client import CriClient
from kdist.agent.pods import spec as specs
from kdist.agent.pods.backoff import BackOff
from kdist.agent.pods.env import Configs
from kdist.api import meta
from kdist.api.meta import Obj

Record = Callable[[str, str, str], None]
DEFAULT_REGISTRY = "docker.io"


class ImageError(Exception):
    """An image is not there to start from. ``reason`` is what the container's status says."""

    def __init__(self, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


def pull_policy(container: Obj) -> str:
    """The container's imagePullPolicy, defaulted as the API does: Always for ``latest``."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    image = container.get("image") or ""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def registry(image: str) -> str:
    """The registry host of an image name."""
    host = image.partition("/")[0]
    return host if "/" in image and ("." in host or ":" in host or host == "localhost") else DEFAULT_REGISTRY


class Images:
    """Makes images present; one pull at a time for each image."""

    def __init__(self, cri: CriClient, configs: Configs, clock: Callable[[], float] = time.monotonic) -> None:
        self._cri, self._configs, self._clock = cri, configs, clock
        self._backoff = BackOff()
        self._pulls: dict[str, asyncio.Task[str]] = {}

    async def ensure(self, pod: Obj, container: Obj, record: Record) -> pb.Image:
        """The container's image by its pull policy. Raises ImageError."""
        name, policy = container.get("image") or "", pull_policy(container)
        image = await self._cri.image(name)
        if image is not None and policy != "Always":
            record("Normal", "Pulled", f'Container image "{name}" already present on machine')
            return image
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            record("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message, retry_after=10.0)
        await self._pull(pod, name, record)
        pulled = await self._cri.image(name)
        if pulled is None:
            raise ImageError("ErrImagePull", f'image "{name}" vanished after it was pulled')
        return pulled

    async def _pull(self, pod: Obj, name: str, record: Record) -> None:
        key, now = (meta.uid(pod), name), self._clock()
        left = self._backoff.remaining(key, self._backoff.last(key), now)
        if left > 0:
            message = f'Back-off pulling image "{name}"'
            record("Normal", "BackOff", message)
            raise ImageError("ImagePullBackOff", message, retry_after=left)
        record("Normal", "Pulling", f'Pulling image "{name}"')
        try:
            await self._shared_pull(name, await self._credentials(pod, name))
        except errors.CriError as error:
            self._backoff.advance(key, self._clock())
            record("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            record("Warning", "Failed", "Error: ErrImagePull")
            raise ImageError("ErrImagePull", str(error)) from error
        took = self._clock() - now
        record("Normal", "Pulled", f'Successfully pulled image "{name}" in {took:.3f}s')

    async def _shared_pull(self, name: str, auths: list[pb.AuthConfig | None]) -> str:
        """One pull for everyone who wants the image now; a waiter that gives up does not end it."""
        task = self._pulls.get(name)
        if task is None:
            task = asyncio.create_task(_first_that_works(self._cri, name, auths), name=f"pull {name}")
            self._pulls[name] = task
            task.add_done_callback(lambda done: self._pulled(name, done))
        return await asyncio.shield(task)

    def _pulled(self, name: str, task: asyncio.Task[str]) -> None:
        self._pulls.pop(name, None)
        # Whoever waited has the error already; when nobody did, it is of no interest.
        if not task.cancelled():
            task.exception()

    async def _credentials(self, pod: Obj, image: str) -> list[pb.AuthConfig | None]:
        found: list[pb.AuthConfig | None] = []
        for ref in specs.spec(pod).get("imagePullSecrets") or ():
            secret = await self._configs.secret(meta.namespace(pod), ref.get("name") or "")
            if secret is not None:
                found += _matching(secret, registry(image))
        return found or [None]

    def forget(self, uid: str) -> None:
        """Drop the back-off of a pod that is gone."""
        self._backoff.forget(uid)


async def _first_that_works(cri: CriClient, name: str, auths: Iterable[pb.AuthConfig | None]) -> str:
    last: errors.CriError | None = None
    for auth in auths:
        try:
            return await cri.pull(name, auth)
        except errors.CriError as error:
            last = error
    raise last or errors.CriError(f"no way to pull {name}")


def _matching(secret: Obj, host: str) -> list[pb.AuthConfig]:
    """The credentials for a registry in a docker configuration secret."""
    data = secret.get("data") or {}
    raw = data.get(".dockerconfigjson") or data.get(".dockercfg")
    if not raw:
        return []
    document = orjson.loads(base64.b64decode(raw))
    auths = document.get("auths", document)
    found = []
    for server, entry in auths.items():
        bare = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
        if bare == host or (host == DEFAULT_REGISTRY and bare.endswith("docker.io")):
            found.append(
                pb.AuthConfig(
                    username=entry.get("username") or "",
                    password=entry.get("password") or "",
                    auth=entry.get("auth") or "",
                    identity_token=entry.get("identitytoken") or "",
                )
            )
    return found
