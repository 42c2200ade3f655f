"""Volumes made of API objects: configMap, secret, downwardAPI and projected, which mixes them with tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import atomic, mounts, ownership, payload
from kdist.agent.volumes.atomic import File
from kdist.agent.volumes.objects import Objects
from kdist.agent.volumes.payload import Source
from kdist.agent.volumes.tokens import Tokens
from kdist.api import meta
from kdist.api.meta import Obj

# Volume source -> plug-in name in the volume's path.
PLUGINS = {
    "configMap": "kubernetes.io/configmap",
    "secret": "kubernetes.io/secret",
    "downwardAPI": "kubernetes.io/downward-api",
    "projected": "kubernetes.io/projected",
}
_ROOT_ONLY = 0o600


class Projector:
    """Collects the files of such a volume and writes them."""

    def __init__(
        self, objects: Objects, tokens: Tokens, allocatable: Callable[[], Mapping[str, int]]
    ) -> None:
        self._objects = objects
        self._tokens = tokens
        self._allocatable = allocatable

    async def write(self, directory: Path, pod: Obj, volume: Obj, max_age: float) -> None:
        """Make the volume's files what the objects say. Raises VolumeError, ApiError and OSError."""
        files = await self._collect(pod, volume, max_age)
        if not directory.is_dir():
            _make(directory, in_memory="configMap" not in volume)
        group = ownership.fs_group(pod)

        def finish(fresh: Path) -> None:
            if group is not None:
                ownership.give_to_group(fresh, group, read_only=True)

        atomic.write(directory, files, finish)

    async def _collect(self, pod: Obj, volume: Obj, max_age: float) -> dict[str, File]:
        kind = next(k for k in PLUGINS if k in volume)
        spec = volume[kind]
        mode = spec.get("defaultMode")
        if kind != "projected":
            return await self._source(pod, volume["name"], kind, spec, mode, max_age)
        files: dict[str, File] = {}
        for source in spec.get("sources") or ():
            for part, part_spec in source.items():
                found = await self._source(pod, volume["name"], part, part_spec, mode, max_age)
                files.update(found)
        return files

    async def _source(
        self, pod: Obj, volume: str, kind: str, spec: Obj, mode: int | None, max_age: float
    ) -> dict[str, File]:
        if kind == "configMap":
            name = spec.get("name") or ""
            found = await self._objects.config_map(meta.namespace(pod), name, max_age=max_age)
            data = None if found is None else payload.config_map_data(found)
            return payload.keyed(Source("configmap", name, volume), data, spec, mode)
        if kind == "secret":
            # A volume says secretName, a projected source says name.
            name = spec.get("secretName") or spec.get("name") or ""
            found = await self._objects.secret(meta.namespace(pod), name, max_age=max_age)
            data = None if found is None else payload.secret_data(found)
            return payload.keyed(Source("secret", name, volume), data, spec, mode)
        if kind == "downwardAPI":
            return payload.downward(volume, pod, spec, mode, self._allocatable())
        if kind == "serviceAccountToken":
            return await self._token(pod, volume, spec, mode)
        raise VolumeError(f'volume "{volume}": projected source {kind} is not supported by this node')

    async def _token(self, pod: Obj, volume: str, spec: Obj, mode: int | None) -> dict[str, File]:
        audiences = [spec["audience"]] if spec.get("audience") else []
        token = await self._tokens.token(pod, audiences, spec.get("expirationSeconds"))
        owner = ownership.only_user(pod)
        # A pod that says who reads the token gets one that nobody else reads.
        named = owner is not None or ownership.fs_group(pod) is not None
        bits = _ROOT_ONLY if named else (payload.DEFAULT_MODE if mode is None else mode)
        return {payload.checked(spec["path"], volume): File(token.encode(), bits, owner)}


def _make(directory: Path, *, in_memory: bool) -> None:
    """The directory of the files; what may be secret is kept in memory where the agent may mount."""
    directory.mkdir(parents=True, mode=0o755)
    if in_memory:
        with contextlib.suppress(PermissionError):
            mounts.tmpfs(directory, mode=0o755)
    directory.chmod(0o755)
