"""The nodes as columns: a filter or a score over all of them is a few vector operations.

Every node has a row, rows of removed nodes are used again. Labels are interned: a column of value numbers per
label key, 0 where the node has no such label. ``static_version`` counts changes of anything but what pods use,
so that whoever computed something from labels or taints alone knows how long it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kdist.api import meta, pods
from kdist.api.meta import Obj

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float64]

CPU, MEMORY, PODS = 0, 1, 2
_FIRST_CAPACITY = 16
_LONGEST_EPOCH = 10_000
# The column of metadata.name, for selectors by field; no label key has a colon.
NAME_FIELD = "field:metadata.name"

# (key, value, effect)
Taint = tuple[str, str, str]


class Image:
    """An image some nodes have already."""

    __slots__ = ("nodes", "size")

    def __init__(self, size: int, capacity: int) -> None:
        self.size = size
        self.nodes: Bools = np.zeros(capacity, bool)


class NodeTable:
    """Columns over rows ``0..len(table)``; ``valid`` says which rows are nodes now."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: dict[str, int] = {}
        self.static_version = 0
        # Rows whose use changed, in order; when the list has become long a new epoch begins with an empty one.
        self.touched: list[int] = []
        self._epochs = 0
        self.resources: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "pods": PODS}
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.images: dict[str, Image] = {}
        self._capacity = _FIRST_CAPACITY
        self._free: list[int] = []
        self._values: dict[str, int] = {"": 0}
        self._value_names: list[str] = [""]
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._labels: dict[str, Ids] = {}
        self._statics: list[Any] = []
        self._node_images: list[frozenset[str]] = []
        self._allocatable: Ints = np.zeros((self._capacity, 3), np.int64)
        self._used: Ints = np.zeros((self._capacity, 3), np.int64)
        self._nonzero: Ints = np.zeros((self._capacity, 2), np.int64)
        self._valid: Bools = np.zeros(self._capacity, bool)
        self._unschedulable: Bools = np.zeros(self._capacity, bool)
        self._taints: Ids = np.zeros(self._capacity, np.int32)

    def __len__(self) -> int:
        """The number of rows, free ones included."""
        return len(self.names)

    # ----- columns

    @property
    def valid(self) -> Bools:
        """Which rows are nodes."""
        return self._valid[: len(self)]

    @property
    def allocatable(self) -> Ints:
        """Row by resource: what pods may request together."""
        return self._allocatable[: len(self)]

    @property
    def used(self) -> Ints:
        """Row by resource: what the node's pods request."""
        return self._used[: len(self)]

    @property
    def nonzero(self) -> Ints:
        """Row by (CPU, memory): the same with defaults for what requests nothing."""
        return self._nonzero[: len(self)]

    @property
    def unschedulable(self) -> Bools:
        """Which rows are cordoned."""
        return self._unschedulable[: len(self)]

    @property
    def taints(self) -> Ids:
        """Row to index into ``taint_sets``."""
        return self._taints[: len(self)]

    def label(self, key: str) -> Ids:
        """Row to value number of a label; 0 where the node does not have it."""
        column = self._labels.get(key)
        return np.zeros(len(self), np.int32) if column is None else column[: len(self)]

    def value_id(self, value: str) -> int:
        """The number of a label value; -1 when no node ever had it."""
        return self._values.get(value, -1) if value else self._values.get("\0", -1)

    def value(self, number: int) -> str:
        """The label value of a number."""
        return self._value_names[number]

    @property
    def values(self) -> int:
        """How many value numbers there are, 0 included."""
        return len(self._value_names)

    @property
    def capacity(self) -> int:
        """How many rows fit before the columns grow."""
        return self._capacity

    def image_nodes(self, image: Image) -> Bools:
        """Which rows have the image."""
        return image.nodes[: len(self)]

    # ----- nodes

    def set(self, node: Obj) -> bool:
        """Add or update a node; whether anything that scheduling looks at changed."""
        name = meta.name(node)
        row = self.rows.get(name)
        static = _static_part(node)
        if row is not None and self._statics[row] == static:
            return False
        if row is None:
            row = self._new_row(name)
        self._statics[row] = static
        self.static_version += 1
        allocatable, labels, taints, unschedulable, images = static
        self._allocatable[row] = 0
        for resource, amount in allocatable.items():
            column = self.column(resource)  # may grow the very array that is written
            self._allocatable[row, column] = amount
        self._set_labels(row, {**labels, NAME_FIELD: name})
        self._taints[row] = self._taint_set(taints)
        self._unschedulable[row] = unschedulable
        self._set_images(row, images)
        return True

    def remove(self, name: str) -> int | None:
        """Forget a node; its row, or None when there is none. What pods use of it is forgotten, too."""
        row = self.rows.pop(name, None)
        if row is None:
            return None
        self.static_version += 1
        self._valid[row] = False
        self._set_labels(row, {})
        self._set_images(row, {})
        for column in (self._allocatable, self._used, self._nonzero):
            column[row] = 0
        self._statics[row] = None
        self.names[row] = ""
        self._free.append(row)
        return row

    def use(self, row: int, requests: dict[str, int], nonzero: tuple[int, int], sign: int = 1) -> None:
        """Count what a pod requests on a node, or with ``sign=-1`` count it no longer."""
        for resource, amount in requests.items():
            column = self.column(resource)
            self._used[row, column] += sign * amount
        self._nonzero[row, 0] += sign * nonzero[0]
        self._nonzero[row, 1] += sign * nonzero[1]
        self.touched.append(row)
        if len(self.touched) > _LONGEST_EPOCH:
            self.touched.clear()
            self._epochs += 1

    @property
    def epoch(self) -> tuple[int, int]:
        """While it stays the same, rows changed only as ``touched`` says."""
        return self._epochs, self.static_version

    def column(self, resource: str) -> int:
        """The column of a resource, a new one when it was not known."""
        column = self.resources.get(resource)
        if column is None:
            column = self.resources[resource] = len(self.resources)
            self._allocatable = np.pad(self._allocatable, ((0, 0), (0, 1)))
            self._used = np.pad(self._used, ((0, 0), (0, 1)))
        return column

    # ----- inside

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
            self.names[row] = name
        else:
            row = len(self.names)
            if row == self._capacity:
                self._grow()
            self.names.append(name)
            self._statics.append(None)
            self._node_images.append(frozenset())
        self.rows[name] = row
        self._valid[row] = True
        return row

    def _grow(self) -> None:
        more = self._capacity
        self._capacity += more
        for field in ("_allocatable", "_used", "_nonzero"):
            setattr(self, field, np.pad(getattr(self, field), ((0, more), (0, 0))))
        for field in ("_valid", "_unschedulable", "_taints"):
            setattr(self, field, np.pad(getattr(self, field), (0, more)))
        self._labels = {key: np.pad(column, (0, more)) for key, column in self._labels.items()}
        for image in self.images.values():
            image.nodes = np.pad(image.nodes, (0, more))

    def _set_labels(self, row: int, labels: dict[str, str]) -> None:
        for column in self._labels.values():
            column[row] = 0
        for key, value in labels.items():
            if key not in self._labels:
                self._labels[key] = np.zeros(self._capacity, np.int32)
            # The empty value is a value like any other; number 0 is for no value at all.
            self._labels[key][row] = self._intern(value or "\0")

    def _intern(self, value: str) -> int:
        number = self._values.setdefault(value, len(self._value_names))
        if number == len(self._value_names):
            self._value_names.append("" if value == "\0" else value)
        return number

    def _taint_set(self, taints: tuple[Taint, ...]) -> int:
        number = self._taint_ids.setdefault(taints, len(self.taint_sets))
        if number == len(self.taint_sets):
            self.taint_sets.append(taints)
        return number

    def _set_images(self, row: int, images: dict[str, int]) -> None:
        for name in self._node_images[row] - images.keys():
            image = self.images[name]
            image.nodes[row] = False
            if not image.nodes.any():
                del self.images[name]
        for name, size in images.items():
            image = self.images.setdefault(name, Image(size, self._capacity))
            image.nodes[row] = True
        self._node_images[row] = frozenset(images)


def _static_part(
    node: Obj,
) -> tuple[dict[str, int], dict[str, str], tuple[Taint, ...], bool, dict[str, int]]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    allocatable = status.get("allocatable") or status.get("capacity") or {}
    return (
        {resource: pods.amount(resource, text) for resource, text in allocatable.items()},
        meta.labels(node),
        tuple((t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ()),
        bool(spec.get("unschedulable")),
        dict(_images(status.get("images") or ())),
    )


def _images(images: Sequence[Obj]) -> Iterable[tuple[str, int]]:
    for image in images:
        for name in image.get("names") or ():
            yield name, image.get("sizeBytes") or 0
