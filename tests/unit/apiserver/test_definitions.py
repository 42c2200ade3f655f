"""Definitions of custom resources are judged as upstream's server (1.32) judges them.

``corpora/definitions.jsonl`` has definitions, most with one fault, and the causes upstream answered: fields, reasons.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdist.api.errors import BadRequest
from kdist.api.scheme import Scheme
from kdist.apiserver.registry import strategy_for
from kdist.apiserver.validation.structure import conform

Obj = dict[str, Any]
CORPUS = Path(__file__).parent / "corpora" / "definitions.jsonl"
ROWS: list[Obj] = [json.loads(line) for line in CORPUS.read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_definition_is_refused_for_what_upstream_refuses_it(scheme: Scheme, row: Obj) -> None:
    resource = scheme.by_path("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert resource is not None
    schema = scheme.schema_of(resource)
    strategy = strategy_for(resource, schema)
    definition = row["definition"]
    try:
        conform(definition, schema)
    except BadRequest:
        assert row["code"] == 400
        return
    strategy.default(definition)
    strategy.prepare_create(definition)
    causes = {(cause.field, cause.reason) for cause in strategy.validate(definition)}
    assert causes == {tuple(cause) for cause in row["causes"]}
