"""The graph: which objects an event makes worth a look."""

from typing import Any

from kdist.api.kinds import DEPLOYMENTS, PODS, REPLICA_SETS, Kind
from kdist.controllers.garbagecollector import plan
from kdist.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, OwnerRef
from kdist.controllers.garbagecollector.plan import Owners, Verdict

Obj = dict[str, Any]


def obj(uid: str, *owners: tuple[str, Kind], deleting: bool = False, finalizers: tuple[str, ...] = ()) -> Obj:
    refs = [
        {"uid": o, "name": o, "kind": k.kind, "apiVersion": k.api_version, "blockOwnerDeletion": True}
        for o, k in owners
    ]
    metadata: Obj = {"uid": uid, "name": uid, "namespace": "ns", "ownerReferences": refs}
    if deleting:
        metadata["deletionTimestamp"] = "now"
    return {"metadata": {**metadata, "finalizers": list(finalizers)}}


def test_dependents_are_looked_at_when_their_owner_goes() -> None:
    graph = Graph()
    graph.seen(REPLICA_SETS, obj("rs"))
    graph.seen(PODS, obj("p", ("rs", REPLICA_SETS)))
    assert graph.gone("rs").attempt == {"p"}


def test_an_owner_never_seen_makes_its_dependent_worth_a_look() -> None:
    graph = Graph()
    assert graph.seen(PODS, obj("p", ("ghost", REPLICA_SETS))).attempt == {"p"}
    assert graph.seen(REPLICA_SETS, obj("ghost")).attempt == set(), "it was only late"


def test_a_reference_with_wrong_coordinates_refers_to_nothing() -> None:
    graph = Graph()
    graph.seen(PODS, obj("p", ("x", REPLICA_SETS)))
    assert graph.seen(DEPLOYMENTS, obj("x")).attempt == {"p"}


def test_foreground_deletion_looks_at_dependents_and_again_at_the_owner_when_they_go() -> None:
    graph = Graph()
    graph.seen(REPLICA_SETS, obj("rs"))
    graph.seen(PODS, obj("p", ("rs", REPLICA_SETS)))
    work = graph.seen(REPLICA_SETS, obj("rs", deleting=True, finalizers=(FOREGROUND,)))
    assert work.attempt == {"rs", "p"}
    node = graph.get("rs")
    assert node and [n.uid for n in plan.blocking(node, graph.dependents(node))] == ["p"]
    assert graph.gone("p").attempt == {"rs"}
    assert plan.blocking(node, graph.dependents(node)) == []


def test_orphaning_is_told_apart() -> None:
    graph = Graph()
    graph.seen(REPLICA_SETS, obj("rs"))
    work = graph.seen(REPLICA_SETS, obj("rs", deleting=True, finalizers=(ORPHAN,)))
    assert (work.orphan, work.attempt) == ({"rs"}, set())


def test_the_graph_forgets_what_nobody_refers_to() -> None:
    graph = Graph()
    graph.seen(PODS, obj("p", ("ghost", REPLICA_SETS)))
    graph.seen(PODS, obj("p"))
    graph.gone("p")
    assert len(graph) == 0


def test_one_solid_owner_is_enough_to_live() -> None:
    graph = Graph()
    graph.seen(PODS, obj("p"))
    node = graph.get("p")
    assert node
    ref = OwnerRef("u", "v1", "X", "x", "ns")
    assert plan.judge(node, Owners(solid=(ref,)), []) is Verdict.KEEP
    assert plan.judge(node, Owners(solid=(ref,), dangling=(ref,)), []) is Verdict.DROP_REFERENCES
    assert plan.judge(node, Owners(waiting=(ref,)), [node]) is Verdict.DELETE_FOREGROUND
    assert plan.judge(node, Owners(dangling=(ref,)), [node]) is Verdict.DELETE
