"""What goes into configMap, secret and downwardAPI files. Pure: objects in, files out, VolumeError when not.

Every error names the object, the key and the volume, because it is what ``kubectl describe pod`` shows.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from kdist.agent.interfaces import VolumeError
from kdist.agent.pods import env
from kdist.agent.volumes.atomic import File
from kdist.api import meta
from kdist.api.meta import Obj

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Source:
    """Where a payload comes from, for error messages: ``configmap "web" (volume "config")``."""

    kind: str
    name: str
    volume: str

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}" (volume "{self.volume}")'


def config_map_data(config_map: Obj) -> dict[str, bytes]:
    """Keys and contents of ``data`` and ``binaryData``."""
    text = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
    return {**text, **binary}


def secret_data(secret: Obj) -> dict[str, bytes]:
    """Keys and contents of ``data``."""
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def keyed(
    source: Source, data: Mapping[str, bytes] | None, spec: Obj, default_mode: int | None
) -> dict[str, File]:
    """The files of a configMap or secret source; ``data`` is None when the object does not exist.

    ``spec`` has ``items`` and ``optional``. Without items, every key is a file of its name.
    """
    optional = bool(spec.get("optional"))
    mode = DEFAULT_MODE if default_mode is None else default_mode
    if data is None:
        if optional:
            return {}
        raise VolumeError(f"{source} not found")
    items = spec.get("items")
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item["key"] in data:
            own = item.get("mode")
            files[checked(item["path"], source.volume)] = File(
                data[item["key"]], mode if own is None else own
            )
        elif not optional:
            raise VolumeError(f"{source} has no key {item['key']!r}")
    return files


def downward(
    volume: str, pod: Obj, spec: Obj, default_mode: int | None, allocatable: Mapping[str, int]
) -> dict[str, File]:
    """The files of a downwardAPI source."""
    mode = DEFAULT_MODE if default_mode is None else default_mode
    files: dict[str, File] = {}
    for item in spec.get("items") or ():
        own = item.get("mode")
        try:
            content = _downward_value(pod, item, allocatable)
        except env.ConfigError as error:
            raise VolumeError(f'{error} (volume "{volume}", path {item["path"]!r})') from error
        files[checked(item["path"], volume)] = File(content.encode(), mode if own is None else own)
    return files


def _downward_value(pod: Obj, item: Obj, allocatable: Mapping[str, int]) -> str:
    if ref := item.get("resourceFieldRef"):
        # A volume belongs to no container, so containerName is required and no container is the default.
        return env.resource_value(pod, {}, ref, allocatable)
    return field_text(pod, (item.get("fieldRef") or {}).get("fieldPath", ""))


def field_text(pod: Obj, path: str) -> str:
    """A field of the pod as file content; labels and annotations are ``key="escaped value"`` lines."""
    if path == "metadata.labels":
        return _lines(meta.labels(pod))
    if path == "metadata.annotations":
        return _lines(meta.annotations(pod))
    if not path.startswith("metadata."):
        raise env.ConfigError(f"unsupported fieldPath: {path}")
    return env.field_value(pod, path, env.EnvFacts())


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(values[key])}" for key in sorted(values))


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}
_ESCAPES |= {"\f": "\\f", "\v": "\\v"}


def _quoted(text: str) -> str:
    """The text in double quotes as programs that read these files parse it back."""
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def checked(path: str, volume: str) -> str:
    """The path of a projected file, relative and inside the volume. Raises VolumeError."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise VolumeError(f'path {path!r} of volume "{volume}" must be relative and stay inside')
    return str(PurePosixPath(path))
