from kdist.proxy.ledger import Change, Ledger
from kdist.proxy.plan import Elements, ServicePlan


def claims(elements: Elements) -> ServicePlan:
    return ServicePlan(elements, frozenset(), {}, {}, {})


def test_only_differences_become_changes() -> None:
    ledger = Ledger()
    ledger.replace("ns/a", claims({"endpoints-tcp": {"k0": "one", "k1": "two"}}))
    changes = ledger.replace("ns/a", claims({"endpoints-tcp": {"k0": "one", "k1": "three", "k2": "four"}}))
    assert changes == [
        Change("endpoints-tcp", "k1", "two", "three"),
        Change("endpoints-tcp", "k2", None, "four"),
    ]
    gone = ledger.replace("ns/a", None)
    assert {(c.key, c.new) for c in gone} == {("k0", None), ("k1", None), ("k2", None)}


def test_the_first_claim_holds_until_it_is_withdrawn() -> None:
    ledger = Ledger()
    ledger.replace("ns/a", claims({"services": {"vip": "goto a"}}))
    assert ledger.replace("ns/b", claims({"services": {"vip": "goto b"}})) == []
    assert ledger.replace("ns/a", None) == [Change("services", "vip", "goto a", "goto b")]
    assert ledger.elements()["services"] == {"vip": "goto b"}
    assert ledger.replace("ns/b", None) == [Change("services", "vip", "goto b", None)]


def test_an_element_shared_by_two_services_goes_with_the_last() -> None:
    ledger = Ledger()
    shared = {"hairpins": {"10.244.1.1 . 10.244.1.1": ""}}
    ledger.replace("ns/a", claims(shared))
    ledger.replace("ns/b", claims(shared))
    assert ledger.replace("ns/a", None) == []
    assert [c.new for c in ledger.replace("ns/b", None)] == [None]
