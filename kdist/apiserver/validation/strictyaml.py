"""YAML bodies: the JSON subset of YAML, with the keys that a mapping names twice.

Built from parser events without recursion, so that neither depth nor aliases cost more than the limits here: a few
lines of aliases of aliases stand for gigabytes. Timestamps stay the text they are, keys become text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml
from yaml import events

MAX_DEPTH = 250  # as deep as JSON bodies may be
MAX_VALUES = 200_000  # in one body; no object that fits into storage has as many
MAX_ALIASED = 100_000  # values that aliases and merges may repeat
_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "merge")}
_CONTAINERS = {None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


class _Loader(yaml.CSafeLoader):
    """Resolves timestamps to text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(body: bytes) -> tuple[Any, list[str]]:
    """The document and, with its line, each key that a mapping has twice. Raises yaml.YAMLError."""
    loader = _Loader(body)
    try:
        return _Document(loader).read()
    except (UnicodeDecodeError, ValueError) as error:
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


@dataclass(slots=True)
class _Open:
    """A container whose end has not come yet."""

    value: Any
    anchor: str | None
    key: str | None = None  # of a mapping: waits for its value
    merged: list[Any] = field(default_factory=list)
    size: int = 1  # values inside, itself included

    def add(self, value: Any, size: int) -> None:
        """Take a finished item, or the value of the key."""
        self.size += size
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key == "<<":
            self.merged += value if isinstance(value, list) else [value]
            self.key = None
        else:
            assert self.key is not None
            self.value[self.key] = value
            self.key = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


class _Document:
    """One document on its way from events to values."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._duplicates: dict[str, None] = {}
        self._aliased = 0
        self._root: Any = None
        self._values = 0

    def read(self) -> tuple[Any, list[str]]:
        documents = 0
        while True:
            event = self._loader.get_event()
            if isinstance(event, events.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, events.AliasEvent):
                self._alias(event)
            elif isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
                self._begin(event)
            elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
                self._end(event)
            elif isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _refused("expected a single document", event)
            elif isinstance(event, events.StreamEndEvent):
                return self._root, list(self._duplicates)

    def _scalar(self, event: Any) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _refused(f"the document has more than {MAX_VALUES} values", event)
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _SCALARS:
            raise _refused(f"the tag {tag} has no place in a body", event)
        if self._open and self._open[-1].wants_key:
            self._key(event, tag)
            return
        value = event.value if tag == _STR else self._converted(tag, event)
        self._finish(value, 1, event.anchor)

    def _converted(self, tag: str, event: Any) -> Any:
        if tag == _MERGE:
            return event.value
        value = self._loader.construct_object(yaml.ScalarNode(tag, event.value, event.start_mark))
        if isinstance(value, float) and not math.isfinite(value):
            raise _refused(f"{event.value} is no number of JSON", event)
        return value

    def _key(self, event: Any, tag: str) -> None:
        parent = self._open[-1]
        value = event.value if tag in (_STR, _MERGE) else self._converted(tag, event)
        key = value if isinstance(value, str) else orjson.dumps(value).decode()
        if key in parent.value:
            self._duplicates[f'line {event.start_mark.line + 1}: key "{key}" already set in map'] = None
        parent.key = key

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise _refused(f"found undefined or recursive alias {event.anchor!r}", event)
        value, size = self._anchors[event.anchor]
        if self._open and self._open[-1].wants_key:
            raise _refused("an alias cannot be a key", event)
        self._repeat(size, event)
        self._finish(orjson.loads(orjson.dumps(value)), size, None)

    def _repeat(self, size: int, event: Any) -> None:
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise _refused("document contains excessive aliasing", event)

    def _begin(self, event: Any) -> None:
        if self._open and self._open[-1].wants_key:
            raise _refused("a key is text", event)
        if event.tag not in _CONTAINERS:
            raise _refused(f"the tag {event.tag} has no place in a body", event)
        if len(self._open) == MAX_DEPTH:
            raise _refused("the document is nested too deeply", event)
        value: Any = {} if isinstance(event, events.MappingStartEvent) else []
        self._open.append(_Open(value, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        for source in done.merged:
            if not isinstance(source, dict):
                raise _refused("only mappings can be merged", event)
            self._repeat(len(source), event)
            for key, value in source.items():
                done.value.setdefault(key, value)
        self._finish(done.value, done.size, done.anchor)

    def _finish(self, value: Any, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, size
        if self._open:
            self._open[-1].add(value, size)
        else:
            self._root = value


def _refused(told: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=told, problem_mark=event.start_mark)
