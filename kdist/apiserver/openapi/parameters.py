"""The parameters of operations: where they stand, their types, and what they are for.

Both versions of the documents take them from here. Parameters that every method of a path has are told once, at
the path. Version 2 keeps most in one place that operations refer to; clients look for a few of them by name in the
operation itself, so these are written out (:data:`WRITTEN_OUT`).
"""

from __future__ import annotations

import re
from typing import Any

Parameter = dict[str, Any]

#: What kubectl looks for in the operation to learn whether a server knows it.
WRITTEN_OUT = frozenset({"dryRun", "fieldValidation"})
#: The query parameter beside the one of the same name in the path of a proxied request.
PROXY_PATH = "path"

_IN_PATH = re.compile(r"\{(\w+)\}")

#: Type and meaning of each query parameter.
_QUERY: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "Ask a watch to send events of type BOOKMARK now and then."),
    "command": ("string", "The command to run, one parameter for each word; no shell takes part."),
    "container": ("string", "The container meant; the only one of the pod when left out."),
    "continue": ("string", "Go on with the list that gave this value out."),
    "dryRun": ("string", "'All': do everything but store the result."),
    "fieldManager": ("string", "Who makes the change, in managedFields; an apply needs it."),
    "fieldSelector": ("string", "Only objects whose fields match."),
    "fieldValidation": ("string", "What unknown and duplicate fields lead to: Ignore, Warn or Strict."),
    "follow": ("boolean", "Go on with new lines of the log."),
    "force": ("boolean", "An apply takes fields over that others own."),
    "gracePeriodSeconds": ("integer", "Seconds until the object goes; zero is at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean",
        "Remove an object that cannot be read from storage, whatever its finalizers say.",
    ),
    "insecureSkipTLSVerifyBackend": (
        "boolean",
        "Do not verify the certificate of the node that has the log.",
    ),
    "labelSelector": ("string", "Only objects whose labels match."),
    "limit": ("integer", "At most that many objects, and a value to continue with."),
    "limitBytes": ("integer", "End the log after that many bytes."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "path": ("string", "The path of the proxied request."),
    "ports": ("integer", "The ports to forward, for websockets."),
    "pretty": ("string", "Indent the answer."),
    "previous": ("boolean", "The log of the container before its last restart."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "The version that an answer is of, or not older than."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Begin a watch with the objects there are, and a bookmark after them."),
    "sinceSeconds": ("integer", "Only lines of the last seconds."),
    "stderr": ("boolean", "Pass the standard error of the process on."),
    "stdin": ("boolean", "Pass input on to the process."),
    "stdout": ("boolean", "Pass the standard output of the process on."),
    "stream": ("string", "Which of the log's streams: All, Stdout or Stderr."),
    "tailLines": ("integer", "Only that many lines from the end."),
    "timeoutSeconds": ("integer", "Seconds after which a list or watch ends."),
    "timestamps": ("boolean", "Begin each line with its time."),
    "tty": ("boolean", "The process has a terminal."),
    "watch": ("boolean", "Send changes as they happen."),
}
_PATH = {
    "name": "The object's name.",
    "namespace": "The object's namespace.",
    "path": "The path of the proxied request.",
}


def in_path(path: str) -> list[Parameter]:
    """The parameters that stand in a path."""
    return [
        {"name": name, "in": "path", "required": True, "type": "string", "description": _PATH[name]}
        for name in _IN_PATH.findall(path)
    ]


def in_query(name: str) -> Parameter:
    """A parameter of the query."""
    kind, description = _QUERY[name]
    return {"name": name, "in": "query", "type": kind, "description": description}


def at_path(path: str, methods: list[tuple[str, ...]]) -> tuple[list[Parameter], frozenset[str]]:
    """What a path tells for all its methods, and which names their own lists leave out therefore.

    ``methods`` are the names of each method's query parameters.
    """
    common = frozenset.intersection(*map(frozenset, methods)) if methods else frozenset()
    found = [*in_path(path), *map(in_query, common)]
    return sorted(found, key=lambda p: (p["name"], p["in"])), common


def for_v2(parameter: Parameter) -> Parameter:
    """In version 2's terms: a reference to what :func:`shared` has, or itself."""
    if parameter["name"] in WRITTEN_OUT or (parameter["in"], parameter["name"]) == ("path", "name"):
        return {**parameter, "uniqueItems": True}
    return {"$ref": f"#/parameters/{_place(parameter)}"}


def shared() -> dict[str, Parameter]:
    """Everything that operations of version 2 refer to."""
    every = [*map(in_query, _QUERY), *in_path("{namespace}{path}")]
    return {_place(p): {**p, "uniqueItems": True} for p in every if p["name"] not in WRITTEN_OUT}


def _place(parameter: Parameter) -> str:
    return parameter["name"] if parameter["in"] == "query" else f"{parameter['name']}-in-path"


def for_v3(parameter: Parameter) -> Parameter:
    """In version 3's terms: the type lies in a schema."""
    rest = {key: value for key, value in parameter.items() if key != "type"}
    return {**rest, "schema": {"type": parameter["type"], "uniqueItems": True}}
