"""The status of a definition: names accepted, conditions set, whatever else a client wrote there."""

from __future__ import annotations

from kdist.api.meta import Obj
from kdist.apiserver.crd import status


def definition(name: str = "crontabs", **status_fields: object) -> Obj:
    names = {"plural": name, "singular": name[:-1], "kind": "CronTab", "listKind": "CronTabList"}
    return {
        "metadata": {"name": f"{name}.stable.example.com", "uid": name},
        "spec": {"group": "stable.example.com", "names": names},
        "status": status_fields,
    }


def conditions(planned: Obj) -> dict[str, str]:
    return {c.get("type", ""): c.get("status", "") for c in planned["conditions"]}


def test_a_new_definition_is_accepted_and_established() -> None:
    planned = status.plan(definition(), [])
    assert conditions(planned) == {"NamesAccepted": "True", "Established": "True"}
    assert planned["acceptedNames"]["plural"] == "crontabs"


def test_a_condition_of_a_client_without_type_or_status_is_kept_and_does_no_harm() -> None:
    planned = status.plan(definition(conditions=[{"message": "patched"}]), [])
    assert conditions(planned) == {"": "", "NamesAccepted": "True", "Established": "True"}
    assert {"message": "patched"} in planned["conditions"]


def test_a_kind_that_another_definition_has_is_not_accepted() -> None:
    first = definition()
    first["status"] = status.plan(first, [])
    planned = status.plan(definition("others"), [first])
    assert conditions(planned) == {"NamesAccepted": "False", "Established": "False"}
