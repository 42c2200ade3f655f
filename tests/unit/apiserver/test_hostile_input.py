"""What clients send is read or refused, never an internal error: a short look; scripts/fuzz looks longer."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import POD, TARGETS

FEW = settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
_WORDS = st.sampled_from(
    ["$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "name", "",
     "delete", "replace", "merge", "containers", "volumes", "spec", "metadata", "labels", "a", "/metadata/-",
     "/spec/containers/0", "op", "path", "value", "from", "add", "copy", "move", "test", "remove", "f:spec",
     'k:{"name":"a"}', "v:1", "i:-1", "."]
)  # fmt: skip
_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | _WORDS | st.text(max_size=5)
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=12,
)
_OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "copy", "move", "test", "x"]),
        "path": st.lists(_WORDS | st.sampled_from(["0", "-", "-1", "99"]), max_size=4).map(
            lambda p: "/" + "/".join(p)
        ),
        "from": st.sampled_from(["", "/spec", "/spec/containers/0", "/none"]),
        "value": _JSON,
    },
)
_PATCHES = st.lists(_OPERATION, max_size=5) | st.fixed_dictionaries(
    {}, optional={"spec": _JSON, "metadata": _JSON}
)
_ENTRY = st.fixed_dictionaries(
    {
        "manager": st.just("m"),
        "operation": st.sampled_from(["Update", "Apply", "x"]),
        "apiVersion": st.just("v1"),
    },
    optional={
        "fieldsType": st.sampled_from(["FieldsV1", "x"]),
        "fieldsV1": _JSON,
        "time": _WORDS,
        "subresource": _WORDS,
    },
)
_SELECTOR = st.text(alphabet="ab=!(),<> in\\notx/.", max_size=30)


def _encoded(strategy: st.SearchStrategy) -> st.SearchStrategy[bytes]:
    return strategy.map(lambda value: json.dumps(value).encode())


def _damaged(text: bytes) -> st.SearchStrategy[bytes]:
    """A text with a piece exchanged for another."""
    at = st.integers(0, len(text))
    return st.builds(
        lambda a, b, piece: text[: min(a, b)] + piece + text[max(a, b) :], at, at, st.binary(max_size=8)
    )


CASES = {
    "body": _damaged(orjson.dumps(POD)) | st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    "protobuf_body": st.binary(max_size=120),
    "patch": _encoded(_PATCHES),
    "managed_fields": _encoded(st.lists(_ENTRY, max_size=3)),
    "selectors": _SELECTOR.map(str.encode) | st.binary(max_size=40),
    "texts": st.binary(max_size=40)
    | st.text(alphabet="0123456789.eEinumkKMGTP-+ \N{ARABIC-INDIC DIGIT ONE}").map(str.encode),
    "request": st.text(alphabet="/apisv1?&=%.", max_size=60).map(str.encode),
    "rules": st.integers(0, 2**64).map(lambda seed: seed.to_bytes(9, "big")),
}


def test_every_target_has_its_cases() -> None:
    assert CASES.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", sorted(CASES))
def test_hostile_input_is_read_or_refused(name: str) -> None:
    @FEW
    @given(CASES[name])
    def look(data: bytes) -> None:
        TARGETS[name](data)

    look()
