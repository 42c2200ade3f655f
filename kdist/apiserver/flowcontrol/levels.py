"""The priority levels and flow schemas in force, from the stored objects; classification of requests.

Broken objects are left out with a warning, never fatal. The mandatory level and schema pairs ``exempt`` and
``catch-all`` are always there, stored or not, so that every request has a place. A level that is deleted serves
what it has begun and goes when it is idle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.authn.user import User
from kdist.apiserver.flowcontrol import allocation, defaults, matching
from kdist.apiserver.flowcontrol.allocation import Claim, Limits, Shares
from kdist.apiserver.flowcontrol.demand import Observed, smoothed
from kdist.apiserver.flowcontrol.dropped import Dropped
from kdist.apiserver.flowcontrol.queueset import QueueSet, Queuing
from kdist.apiserver.flowcontrol.sharding import deal, flow_hash
from kdist.apiserver.flowcontrol.stats import SchemaStats
from kdist.apiserver.requestinfo import RequestInfo
from kdist.telemetry import log

_log = log.get(__name__)
REQUEST_SHARE = 0.15  # of a level's nominal seats: more a single request never takes
FLOWS_KEPT = 8192  # classified flows; more than that are forgotten together
Pair = tuple[str, str]
_NO_SHARES, _NO_SEATS, _UNOBSERVED = Shares(0), Limits(0, 0, 0), Observed()


@dataclass(slots=True)
class Level:
    """One priority level at work."""

    name: str
    queues: QueueSet
    uid: str = ""
    exempt: bool = False
    queuing: Queuing = field(default_factory=Queuing)
    shares: Shares = _NO_SHARES
    limits: Limits = _NO_SEATS
    current: int = 0
    most_seats: int = 0  # of one request; 0: no limit of the level
    quiescing: bool = False
    observed: Observed = _UNOBSERVED
    smoothed: float = 0.0
    target: float = 0.0
    dropped: Dropped = field(default_factory=Dropped)


@dataclass(slots=True, eq=False)
class Flow:
    """Where the requests of one flow go, and the headers that say so."""

    schema: str
    level: Level
    distinguisher: str
    hand: tuple[int, ...]
    stats: SchemaStats
    headers: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _Schema:
    name: str
    uid: str
    spec: Obj
    level: str
    precedence: int
    method: str  # ByUser, ByNamespace or empty


class Levels:
    """The configuration in force."""

    def __init__(self, total: int, new_queues: Callable[[], QueueSet]) -> None:
        self.total = total
        self._new_queues = new_queues
        self.levels: dict[str, Level] = {}
        self.fraction = 0.0
        self._schemas: list[_Schema] = []
        self._flows: dict[tuple[str | tuple[str, ...], ...], Flow] = {}
        self._stats: dict[Pair, SchemaStats] = {}
        self.configure((), ())

    # ----- configuration

    def configure(self, levels: Iterable[Obj], schemas: Iterable[Obj]) -> None:
        """Put these objects into force."""
        wanted = {meta.name(obj): obj for obj in levels}
        for obj in defaults.MANDATORY_LEVELS:
            wanted.setdefault(meta.name(obj), obj)
        for name, obj in wanted.items():
            self._take(name, obj)
        self._retire(set(wanted))
        self._take_schemas(schemas)
        self._limit()
        self._flows.clear()

    def _take(self, name: str, obj: Obj) -> None:
        try:
            exempt, queuing, shares = read_level(name, obj.get("spec") or {})
        except ValueError as error:
            _log.warning("ignoring a broken PriorityLevelConfiguration", name=name, error=str(error))
            return
        level = self.levels.get(name)
        if level is None:
            level = self.levels[name] = Level(name, self._new_queues())
        level.uid, level.exempt, level.quiescing = obj["metadata"].get("uid", ""), exempt, False
        level.queuing, level.shares = queuing, shares

    def _retire(self, wanted: set[str]) -> None:
        for name, level in list(self.levels.items()):
            if name in wanted:
                continue
            if level.queues.is_idle:
                del self.levels[name]
            else:
                level.quiescing = True

    def reap(self) -> None:
        """Drop the retired levels that have become idle."""
        idle = [name for name, at in self.levels.items() if at.quiescing and at.queues.is_idle]
        for name in idle:
            del self.levels[name]
        if idle:
            self._limit()

    def _take_schemas(self, schemas: Iterable[Obj]) -> None:
        found = {meta.name(obj): obj for obj in schemas}
        for obj in defaults.MANDATORY_SCHEMAS:
            found.setdefault(meta.name(obj), obj)
        kept = [_schema(name, obj) for name, obj in found.items()]
        usable = [s for s in kept if s.level in self.levels and not self.levels[s.level].quiescing]
        self._schemas = sorted(usable, key=lambda schema: (schema.precedence, schema.name))

    def _limit(self) -> None:
        shares = {name: level.shares for name, level in self.levels.items()}
        for name, limits in allocation.limits(self.total, shares).items():
            level = self.levels[name]
            level.limits = limits
            level.most_seats = _most_seats(level)
        self._divide()

    # ----- borrowing

    def rebalance(self) -> None:
        """Move seats to where they were wanted since the last call."""
        for level in self.levels.values():
            queues = level.queues
            level.observed = queues.demand.reset(queues.seats_in_use + queues.seats_waiting)
            level.smoothed = smoothed(level.smoothed, level.observed.envelope)
        self._divide()
        self.reap()

    def _divide(self) -> None:
        claims = {
            name: Claim(level.limits, level.smoothed, level.observed.highest, level.exempt)
            for name, level in self.levels.items()
        }
        current, self.fraction = allocation.divide(claims)
        for name, level in self.levels.items():
            level.current = current[name]
            level.target = max(claims[name].least, level.smoothed)
            level.queues.configure(level.queuing, level.current, exempt=level.exempt)

    # ----- classification

    def classify(self, user: User, info: RequestInfo) -> Flow:
        """The flow of a request: a look-up for all but the first request of its kind."""
        scope = info.namespace if info.plural else info.path
        key = (user.name, user.groups, info.verb, info.plural, info.subresource, scope, info.group)
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= FLOWS_KEPT:
                self._flows.clear()
            flow = self._flows[key] = self._classified(user, info)
        return flow

    def _classified(self, user: User, info: RequestInfo) -> Flow:
        for schema in self._schemas:
            if matching.matches(schema.spec, user, info):
                break
        else:  # only a user in neither of the two groups of everybody
            schema = next(s for s in self._schemas if s.name == defaults.CATCH_ALL)
        level = self.levels[schema.level]
        distinguisher = ""
        hand: tuple[int, ...] = ()
        if level.queuing.queues:
            distinguisher = {"ByUser": user.name, "ByNamespace": info.namespace}.get(schema.method, "")
            hand = deal(flow_hash(schema.name, distinguisher), level.queuing.queues, level.queuing.hand_size)
        headers = [
            (b"x-kubernetes-pf-flowschema-uid", schema.uid.encode()),
            (b"x-kubernetes-pf-prioritylevel-uid", level.uid.encode()),
        ]
        return Flow(schema.name, level, distinguisher, hand, self.stats(level.name, schema.name), headers)

    def stats(self, level: str, schema: str) -> SchemaStats:
        """The numbers of a schema in a level."""
        found = self._stats.get((level, schema))
        if found is None:
            found = self._stats[level, schema] = SchemaStats(level, schema)
        return found

    def all_stats(self) -> list[SchemaStats]:
        """The numbers of every schema that had a request."""
        return list(self._stats.values())


def read_level(name: str, spec: Obj) -> tuple[bool, Queuing, Shares]:
    """(exempt, queuing, shares) of a level's spec. ValueError when its parts do not fit together."""
    kind, limited, exempt = spec.get("type"), spec.get("limited"), spec.get("exempt")
    if (kind == "Exempt") != (name == defaults.EXEMPT):
        raise ValueError("spec.type must be Exempt if and only if the name is exempt")
    if kind == "Exempt":
        given = exempt or {}
        shares = Shares(given.get("nominalConcurrencyShares") or 0, given.get("lendablePercent") or 0, None)
        return True, Queuing(), shares
    if kind != "Limited" or not limited:
        raise ValueError("spec.limited must be set, with spec.type Limited")
    nominal = limited.get("nominalConcurrencyShares")
    shares = Shares(
        30 if nominal is None else nominal,
        limited.get("lendablePercent") or 0,
        limited.get("borrowingLimitPercent"),
    )
    return False, _read_queuing(limited.get("limitResponse") or {}), shares


def _read_queuing(response: Obj) -> Queuing:
    queuing = response.get("queuing")
    if (response.get("type") == "Queue") != (queuing is not None):
        raise ValueError("spec.limited.limitResponse.queuing must be set if and only if the type is Queue")
    if queuing is None:
        return Queuing()
    read = Queuing(queuing["queues"], queuing["handSize"], queuing["queueLengthLimit"])
    deal(0, read.queues, read.hand_size)
    return read


def _schema(name: str, obj: Obj) -> _Schema:
    spec = obj.get("spec") or {}
    return _Schema(
        name,
        obj["metadata"].get("uid", ""),
        spec,
        meta.get(spec, "priorityLevelConfiguration.name", ""),
        spec.get("matchingPrecedence", 1000),
        meta.get(spec, "distinguisherMethod.type", ""),
    )


def _most_seats(level: Level) -> int:
    """Of one request: a fraction of the level, and so few that a whole hand of them fits."""
    if not level.queuing.queues:
        return 0
    nominal = level.limits.nominal
    return max(1, min(math.ceil(nominal * REQUEST_SHARE), nominal // level.queuing.hand_size))
