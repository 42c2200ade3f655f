"""Object types for the type checker, which knows objects as protobuf messages only.

A file of message descriptors is made for the objects among an environment's variables. Protobuf has no lists of
lists and no maps of lists: inside such fields elements are dynamic, and what they are is checked at run time.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from kdist.apiserver.cel.types import DeclType

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "int": _Field.TYPE_INT64,
    "uint": _Field.TYPE_UINT64,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_MESSAGES = {
    "timestamp": ".google.protobuf.Timestamp",
    "duration": ".google.protobuf.Duration",
    "list": ".google.protobuf.ListValue",
    "map": ".google.protobuf.Struct",
}
_BASICS = (any_pb2, struct_pb2, timestamp_pb2, duration_pb2, wrappers_pb2, empty_pb2)


class Messages:
    """The message types of one environment."""

    def __init__(self) -> None:
        self._file = descriptor_pb2.FileDescriptorProto(
            name="kdist/cel/objects.proto",
            syntax="proto2",
            dependency=[f"google/protobuf/{name}.proto" for name in ("struct", "timestamp", "duration")],
        )
        self._names: dict[int, str] = {}
        self._kept: list[DeclType] = []
        self.types: dict[str, DeclType] = {}

    def shown(self, text: str) -> str:
        """A message of the checker with the types called by their own names."""
        for name, declared in self.types.items():
            if name != declared.name:
                text = text.replace(name, declared.name)
        return text

    def name_of(self, declared: DeclType) -> str:
        """The message of an object type, which is made when it is first asked for."""
        known = self._names.get(id(declared))
        if known is not None:
            return known
        wanted = declared.name.replace(".", "_")
        name, at = wanted, 1
        while name in self.types:
            at += 1
            name = f"{wanted}{at}"
        self._names[id(declared)] = name
        self._kept.append(declared)  # or another type could get its id
        self.types[name] = declared
        message = descriptor_pb2.DescriptorProto(name=name)
        for number, (field_name, made) in enumerate(sorted(declared.fields.items()), 1):
            self._add(message, name, field_name, number, made)
        self._file.message_type.append(message)
        return name

    def pool(self) -> Any:
        """A descriptor pool with the messages."""
        pool = descriptor_pool.DescriptorPool()
        for basic in _BASICS:
            file = descriptor_pb2.FileDescriptorProto()
            basic.DESCRIPTOR.CopyToProto(file)
            pool.Add(file)
        pool.Add(self._file)
        return pool

    def _add(
        self, message: descriptor_pb2.DescriptorProto, owner: str, name: str, number: int, made: DeclType
    ) -> None:
        # a JSON name of its own, as those that protobuf derives may be the same for two fields
        field = message.field.add(
            name=name, number=number, label=_Field.LABEL_OPTIONAL, json_name=f"{number}"
        )
        if made.kind == "list" and made.element is not None:
            field.label = _Field.LABEL_REPEATED
            self._set_type(field, made.element)
        elif made.kind == "map" and made.element is not None and self._entry_is_free(message, name):
            field.label = _Field.LABEL_REPEATED
            entry = message.nested_type.add(name=_camel(name) + "Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
            value = entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL)
            self._set_type(value, made.element)
            field.type, field.type_name = _Field.TYPE_MESSAGE, f".{owner}.{entry.name}"
        else:
            self._set_type(field, made)

    @staticmethod
    def _entry_is_free(message: descriptor_pb2.DescriptorProto, name: str) -> bool:
        wanted = _camel(name) + "Entry"
        return all(nested.name != wanted for nested in message.nested_type)

    def _set_type(self, field: descriptor_pb2.FieldDescriptorProto, made: DeclType) -> None:
        scalar = _SCALARS.get(made.kind)
        if scalar is not None:
            field.type = scalar
            return
        field.type = _Field.TYPE_MESSAGE
        if made.kind == "object":
            field.type_name = f".{self.name_of(made)}"
        else:
            field.type_name = _MESSAGES.get(made.kind, ".google.protobuf.Value")


def _camel(name: str) -> str:
    """The name protobuf wants for the entries of a map field."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
