"""The values of expressions. JSON's own are Python's; here is what JSON does not have, and how values compare.

``int`` is a CEL int, ``Uint`` a uint, ``float`` a double, ``None`` null; lists and maps are lists and dicts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
SECOND = 1_000_000_000  # nanoseconds
_NUMBERS = (int, float)


class Uint(int):
    """An unsigned 64-bit number."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970; ``offset`` (seconds) is that of the zone it was written in, for showing it."""

    nanos: int
    offset: int = field(default=0, compare=False)

    @property
    def moment(self) -> datetime:
        """To the microsecond, in UTC. EvaluationError outside of years 1 to 9999."""
        try:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.nanos // 1000)
        except OverflowError as error:
            raise EvaluationError("timestamp overflow") from error


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """Nanoseconds."""

    nanos: int


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type, as ``type(x)`` gives it."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A value or its absence."""

    value: Any = None
    present: bool = False


NONE = Optional()


class Opaque:
    """Base of values that only functions can look into."""

    __slots__ = ()
    cel_type: ClassVar[str]


class Lazy(Mapping[str, Any]):
    """A map whose values are made when they are asked for: variables of a policy."""

    def __init__(self, make: Mapping[str, Callable[[], Any]]) -> None:
        self._make = make
        self._made: dict[str, tuple[Any, EvaluationError | None]] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._made:
            try:
                self._made[key] = self._make[key](), None
            except EvaluationError as error:
                self._made[key] = None, error
        value, failure = self._made[key]
        if failure is not None:
            raise failure
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)


class SetList(list[Any]):
    """A list of x-kubernetes-list-type ``set``: its order does not matter."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list) or len(self) != len(other):
            return False
        return all(any(equal(one, another) for another in self) for one in other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def plus(self, other: list[Any]) -> SetList:
        """The union: new elements at the end."""
        made = SetList(self)
        for element in other:
            if not any(equal(element, have) for have in made):
                made.append(element)
        return made


class MapList(list[Any]):
    """A list of x-kubernetes-list-type ``map``: elements are known by their keys."""

    def __init__(self, elements: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(elements)
        self.keys = keys

    def _key(self, element: Any) -> tuple[Any, ...]:
        return tuple(element.get(key) for key in self.keys) if isinstance(element, dict) else ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list) or len(self) != len(other):
            return False
        mine = {self._key(element): element for element in self}
        return all(self._key(e) in mine and equal(mine[self._key(e)], e) for e in other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def plus(self, other: list[Any]) -> MapList:
        """A merge: elements of ``other`` take the places of those with their keys, or come at the end."""
        places = {self._key(element): at for at, element in enumerate(self)}
        made = list(self)
        for element in other:
            at = places.get(self._key(element))
            if at is None:
                made.append(element)
            else:
                made[at] = element
        return MapList(made, self.keys)


@dataclass(slots=True)
class Struct:
    """An object that an expression makes: ``Object{spec: ...}``."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)


_TYPE_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    Lazy: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    TypeValue: "type",
    Optional: "optional_type",
}


def type_name(value: Any) -> str:
    """The name of a value's type."""
    known = _TYPE_NAMES.get(type(value))
    if known is not None:
        return known
    if isinstance(value, Struct):
        return value.name
    name: str = value.cel_type
    return name


def equal(one: Any, other: Any) -> bool:
    """CEL's equality: numbers of different types compare by value, other types differ."""
    kind, kind2 = type(one), type(other)
    if kind is bool or kind2 is bool:
        return kind is kind2 and one is other
    if kind is str or kind2 is str:
        return bool(one == other)
    if one is other and kind is not float:
        return True
    if isinstance(one, list) and isinstance(other, list):
        return _equal_lists(one, other)
    if kind is dict and kind2 is dict:
        return len(one) == len(other) and all(k in other and equal(v, other[k]) for k, v in one.items())
    if kind is Optional and kind2 is Optional:
        return one.present == other.present and (not one.present or equal(one.value, other.value))
    if kind is Struct and kind2 is Struct:
        return one.name == other.name and equal(one.fields, other.fields)
    return bool(one == other)


def _equal_lists(one: list[Any], other: list[Any]) -> bool:
    if isinstance(one, SetList | MapList):
        return one == other
    return len(one) == len(other) and all(map(equal, one, other))


def compare(one: Any, other: Any) -> int:
    """Less, equal or greater: -1, 0, 1. EvaluationError when there is no order between them."""
    kind, kind2 = type(one), type(other)
    if kind is not kind2 and not (_is_number(one) and _is_number(other)):
        raise no_such_overload()
    if kind not in _ORDERED:
        raise no_such_overload()
    if (kind is float and math.isnan(one)) or (kind2 is float and math.isnan(other)):
        raise EvaluationError("NaN values cannot be ordered")
    return int(one > other) - int(one < other)


_ORDERED = frozenset({bool, int, Uint, float, str, bytes, Timestamp, Duration})


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and type(value) is not bool


def size(value: Any) -> int:
    """What cost is counted by: code points, bytes, elements; one for everything else."""
    if isinstance(value, str | bytes | list | dict | Lazy):
        return len(value)
    sized = getattr(value, "size", None)
    return sized if isinstance(sized, int) else 1


_DURATION = re.compile(r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|m|s|us|µs|μs|ns))+|[+-]?0")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)")
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 1000, "µs": 1000, "μs": 1000}
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))"
)


def parse_duration(text: str) -> Duration | None:
    """A duration as Go writes it, ``1h30m``; None when it is none."""
    if not _DURATION.fullmatch(text):
        return None
    nanos = 0
    for number, unit in _DURATION_PART.findall(text):
        whole, _, fraction = number.partition(".")
        scale = _UNITS.get(unit, 1)
        nanos += int(whole or 0) * scale
        if fraction:
            nanos += int(fraction) * scale // 10 ** len(fraction)
    nanos = -nanos if text.startswith("-") else nanos
    return Duration(nanos) if INT_MIN <= nanos <= INT_MAX else None


def parse_timestamp(text: str) -> Timestamp | None:
    """An RFC 3339 date and time; None when it is none."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    offset = int(sign + "1") * (int(hours) * 3600 + int(minutes) * 60) if sign else 0
    return Timestamp((seconds - offset) * SECOND + int((fraction or "0")[:9].ljust(9, "0")), offset)


def parse_date(text: str) -> Timestamp | None:
    """An RFC 3339 full date; None when it is none."""
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        day = None
    return None if day is None else Timestamp((day - date(1970, 1, 1)).days * 86400 * SECOND)
