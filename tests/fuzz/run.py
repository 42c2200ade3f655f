"""Run one fuzz target under atheris, as scripts/fuzz does; without arguments, name the targets."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
import orjson

with atheris.instrument_imports(include=["kdist"]):
    from tests.fuzz.targets import POD, TARGETS

_SEEDS = {
    "body": [orjson.dumps(POD), b"a: &a [1]\nb: {<<: {c: d}, e: *a}\n"],
    "patch": [
        orjson.dumps(
            [{"op": "move", "from": "/spec/volumes", "path": "/x"}, {"op": "copy", "from": "", "path": "/y"}]
        ),
        orjson.dumps({"spec": {"containers": [{"name": "a", "$patch": "delete"}], "$retainKeys": ["a"]}}),
    ],
    "managed_fields": [
        b'[{"manager":"a","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1",'
        b'"fieldsV1":{"f:spec":{"k:{\\"name\\":\\"a\\"}":{".":{}},"v:1":{},"i:3":{}}}}]'
    ],
    "selectors": [b"a in (b,c),!d,e notin (f),g!=h", b"metadata.name=a,status.phase!=b\\,c"],
    "texts": [b"1.5Gi", b"application/json;as=Table;v=v1;g=meta.k8s.io;q=0.1", b"2020-01-01T00:00:00Z"],
    "request": [b"GET /api/v1/namespaces/x/pods/y/log?a=b"],
}


def main() -> None:
    """Write the seeds to the corpus, then fuzz until libFuzzer ends."""
    if len(sys.argv) < 2:
        print("\n".join(TARGETS))
        return
    name = sys.argv.pop(1)
    if len(sys.argv) > 1 and (corpus := Path(sys.argv[1])).is_dir():
        for at, seed in enumerate(_SEEDS.get(name, [])):
            (corpus / f"seed-{at}").write_bytes(seed)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
