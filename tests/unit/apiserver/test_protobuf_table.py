"""The table of protobuf fields is closed: every type that a field names can be decoded."""

import importlib

decode = importlib.import_module("kdist.apiserver.protobuf.decode")


def test_every_named_type_is_known() -> None:
    table = decode._table()
    unknown = {
        field.type
        for name in table
        for field in decode._fields(name).values()
        if field.type not in decode._READERS and field.type not in table
    }
    assert unknown == set()
