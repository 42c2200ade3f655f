"""OCI images from layers: configuration, manifest and index as the image specification has them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kdist.lifecycle.bundle.layers import Blob

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EPOCH = "1970-01-01T00:00:00Z"
PATH = "/opt/kdist/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image to be: its full name, layers from the bottom up, what it runs, and which hosts need it."""

    name: str
    layers: tuple[Blob, ...]
    needed_by: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A JSON blob; ``digest`` is bare hex of its sha256."""

    content: bytes

    @property
    def digest(self) -> str:
        """Names the blob."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Built:
    """An image's own documents, beside its layers."""

    image: Image
    config: Document
    manifest: Document

    @property
    def size(self) -> int:
        """Bytes of the documents and all layers."""
        documents = len(self.config.content) + len(self.manifest.content)
        return documents + sum(layer.size for layer in self.image.layers)

    @property
    def index_entry(self) -> dict[str, Any]:
        """The image in index.json, under the name containerd gives it on import."""
        return {
            **descriptor(MANIFEST, self.manifest.digest, len(self.manifest.content)),
            "platform": {"architecture": "amd64", "os": "linux"},
            "annotations": {
                "io.containerd.image.name": self.image.name,
                "org.opencontainers.image.ref.name": self.image.name.rpartition(":")[2],
            },
        }


def descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    """How documents refer to blobs."""
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def build(image: Image) -> Built:
    """The documents of an image."""
    settings: dict[str, Any] = {"Env": [f"{k}={v}" for k, v in {"PATH": PATH, **image.environment}.items()]}
    if image.entrypoint:
        settings["Entrypoint"] = list(image.entrypoint)
    if image.command:
        settings["Cmd"] = list(image.command)
    config = _document(
        {
            "created": EPOCH,
            "architecture": "amd64",
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in image.layers]},
        }
    )
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config.digest, len(config.content)),
            "layers": [descriptor(LAYER, layer.digest, layer.size) for layer in image.layers],
        }
    )
    return Built(image, config, manifest)


def index(entries: Iterable[dict[str, Any]]) -> bytes:
    """index.json of these images."""
    return _document({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}).content


LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def _document(content: dict[str, Any]) -> Document:
    return Document(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
