"""A bundle small enough to be looked at: one image of one layer, one package, one wheel; signed."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kdist.lifecycle.bundle import oci, signature
from kdist.lifecycle.bundle.layers import Blob
from kdist.lifecycle.bundle.manifest import (
    CONTROL_PLANE,
    NODE,
    OPERATOR,
    Entry,
    HostRelease,
    ImageEntry,
    Manifest,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")


def line(key: Ed25519PrivateKey) -> str:
    """The public key as the cluster file has it."""
    return signature.line_of(key.public_key())


def bundle(directory: Path, key: Ed25519PrivateKey = KEY) -> Path:
    """Write the bundle for Debian 12 hosts."""
    layer = b"layer"
    blob = Blob(directory / "layer", oci.Document(layer).digest, len(layer))
    image = oci.build(oci.Image("localhost/x:1", (blob,), CONTROL_PLANE, command=("x",)))
    files = {
        "images/index.json": (oci.index([image.index_entry]), NODE, None),
        f"images/blobs/sha256/{blob.digest}": (layer, CONTROL_PLANE, None),
        f"images/blobs/sha256/{image.config.digest}": (image.config.content, CONTROL_PLANE, None),
        f"images/blobs/sha256/{image.manifest.digest}": (image.manifest.content, CONTROL_PLANE, None),
        "debs/bookworm/node/a_1_amd64.deb": (b"deb", NODE, "bookworm"),
        "wheels/a-1-py3-none-any.whl": (b"wheel", OPERATOR, None),
    }
    entries = {}
    for name, (content, role, suite) in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
        entries[name] = Entry(oci.Document(content).digest, len(content), role, suite)
    listed = (ImageEntry("localhost/x:1", f"sha256:{image.manifest.digest}", CONTROL_PLANE),)
    hosts = {"bookworm": HostRelease("3.11", (), {"node": {"a": "1"}})}
    Manifest("1", "bookworm", "1.32", listed, hosts, files=entries).write(directory)
    signature.sign(directory, key)
    return directory
