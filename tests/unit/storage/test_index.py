"""An index finds what a scan would find, whatever came, changed or went since it was made."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kdist.storage.index import KEPT, Term
from kdist.storage.interface import Event
from kdist.storage.watchcache import WatchCache

PREFIX = "/registry/pods/"
VALUES = (None, "a", "b", "")
changes = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.sampled_from(["x", "y"]), st.sampled_from((*VALUES, "gone")))
)


def cache() -> WatchCache:
    made = WatchCache(PREFIX, lambda obj: {"spec.nodeName": obj.get("node", "")})
    made.load([], 0)
    return made


def event(revision: int, name: str, namespace: str, value: str | None) -> Event:
    key = f"{PREFIX}{namespace}/{name}"
    if value == "gone":
        return Event(key, None, revision)
    metadata = {"name": name, "labels": {"app": value} if value is not None else {}}
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "node": value or ""}
    return Event(key, orjson.dumps(obj), revision)


@given(changes, changes)
def test_an_index_finds_what_a_scan_finds(before: list[tuple], after: list[tuple]) -> None:
    pods = cache()
    label, field = Term("app"), Term("spec.nodeName", is_field=True)
    for revision, row in enumerate((*before, *after), 1):
        if revision == len(before) + 1:
            pods.having(label, ["a"]), pods.having(field, ["a"])  # from now on kept
        pods.apply([event(revision, *row)])
    for scope in ("", "x/", "y/"):
        for values in (["a"], ["a", "b"], [""], ["never"]):
            entries = list(pods.entries(scope))
            assert pods.having(label, values, scope) == [e for e in entries if e.labels.get("app") in values]
            wanted = [e for e in entries if e.fields["spec.nodeName"] in values]
            assert pods.having(field, values, scope) == wanted


def test_more_indexes_than_are_kept_still_answer() -> None:
    pods = cache()
    pods.apply([event(1, "p", "x", "a")])
    for number in range(3 * KEPT):
        assert pods.having(Term(f"label-{number}"), ["a"]) == []
        assert len(pods.having(Term("app"), ["a"])) == 1
