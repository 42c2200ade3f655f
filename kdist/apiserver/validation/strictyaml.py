"""YAML bodies: the JSON subset of YAML, with the keys that a mapping names twice."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Keeps timestamps as the text they are, and tells which keys repeat."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.value not in self.duplicates:
                self.duplicates.append(key.value)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(body: bytes) -> tuple[Any, list[str]]:
    """The document and its repeated keys. Raises yaml.YAMLError."""
    loader = _Loader(body)
    try:
        return loader.get_single_data(), loader.duplicates
    finally:
        loader.dispose()
