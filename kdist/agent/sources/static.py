"""Pods from manifests in a directory of this host: they run with nothing else there, API server included.

The directory is scanned every second or so; a file is read again when its time, size or inode changed. A file
that cannot be used is reported once and leaves what other files describe alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import yaml

from kdist.agent.cri import labels
from kdist.agent.sources.defaults import defaulted
from kdist.api import meta
from kdist.api.meta import Obj
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
SCAN_SECONDS = 1.0
_Stamp = tuple[int, int, int]


class ManifestError(Exception):
    """A manifest cannot be used; the text says why."""


class _Loader(yaml.SafeLoader):
    """YAML without its guesses of dates: timestamps stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(data: bytes, file: str, node: str) -> Obj:
    """The one pod of a YAML or JSON manifest, as this node runs it. Raises ManifestError."""
    try:
        documents = [d for d in yaml.load_all(data, Loader=_Loader) if d is not None]
    except yaml.YAMLError as error:
        raise ManifestError(f"no valid YAML: {error}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ManifestError("exactly one Pod is expected in a manifest")
    return _adopt(documents[0], file, node)


def _adopt(pod: Obj, file: str, node: str) -> Obj:
    """Check the pod and give it its name, uid and marks on this node."""
    if pod.get("apiVersion") != "v1" or pod.get("kind") != "Pod":
        raise ManifestError(f"expected a v1 Pod, found {pod.get('apiVersion')} {pod.get('kind')}")
    _check(pod)
    uid = hashlib.sha256(orjson.dumps([node, file, pod], option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    own = pod["metadata"]
    notes = {**(own.get("annotations") or {}), labels.CONFIG_SOURCE: "file", labels.CONFIG_HASH: uid}
    notes[labels.CONFIG_SEEN] = meta.now_micro()
    pod = defaulted(pod)
    pod["metadata"] = {
        **own,
        "name": f"{own['name']}-{node}",
        "namespace": own.get("namespace") or "default",
        "uid": uid,
        "annotations": notes,
    }
    pod["spec"]["nodeName"] = node
    # A static pod stays whatever NoExecute taint its node gets: nobody could move it.
    pod["spec"]["tolerations"] = [
        *(pod["spec"].get("tolerations") or ()),
        {"operator": "Exists", "effect": "NoExecute"},
    ]
    pod["status"] = {"phase": "Pending"}
    return pod


def _check(pod: Obj) -> None:
    spec, own = pod.get("spec"), pod.get("metadata")
    if not isinstance(own, dict) or not own.get("name"):
        raise ManifestError("metadata.name is required")
    if not isinstance(spec, dict) or not spec.get("containers"):
        raise ManifestError("spec.containers is required")
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        if not container.get("name") or not container.get("image"):
            raise ManifestError("every container needs a name and an image")
    for volume in spec.get("volumes") or ():
        if any(kind in volume for kind in ("configMap", "secret", "persistentVolumeClaim")):
            raise ManifestError(f'volume "{volume.get("name")}": static pods may not refer to API objects')


class StaticPods:
    """The pods of one manifest directory. ``on_change(old, new)`` tells of each that came, changed or went."""

    def __init__(
        self, directory: Path, node: str, on_change: Callable[[Obj | None, Obj | None], None]
    ) -> None:
        self._directory, self._node, self._on_change = directory, node, on_change
        self._stamps: dict[Path, _Stamp] = {}
        self._pods: dict[Path, Obj] = {}
        self.scanned = asyncio.Event()

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        while True:
            self.scan()
            self.scanned.set()
            await asyncio.sleep(SCAN_SECONDS)

    def scan(self) -> None:
        """Bring the pods in line with the files, telling of every difference."""
        found = dict(self._files())
        for file in [f for f in self._stamps if f not in found]:
            del self._stamps[file]
            self._replace(file, None)
        for file, stamp in found.items():
            if self._stamps.get(file) != stamp:
                self._stamps[file] = stamp
                self._read(file)

    def _files(self) -> Iterator[tuple[Path, _Stamp]]:
        if not self._directory.is_dir():
            return
        for file in sorted(self._directory.iterdir()):
            if file.name.startswith(".") or not file.is_file():
                continue
            info = file.stat()
            yield file, (info.st_mtime_ns, info.st_size, info.st_ino)

    def _read(self, file: Path) -> None:
        try:
            pod = parse(file.read_bytes(), str(file), self._node)
        except (ManifestError, OSError) as error:
            # What ran from the file's last good contents goes on running.
            log.error("manifest cannot be used", file=file, error=error)
            return
        clash = next((f for f, p in self._pods.items() if f != file and meta.key(p) == meta.key(pod)), None)
        if clash is not None:
            log.error("two manifests describe the same pod", file=file, other=clash, pod=meta.key(pod))
            return
        self._replace(file, pod)

    def _replace(self, file: Path, pod: Obj | None) -> None:
        old = self._pods.pop(file, None)
        if pod is not None:
            self._pods[file] = pod
        if (old and meta.uid(old)) != (pod and meta.uid(pod)):
            self._on_change(old, pod)
