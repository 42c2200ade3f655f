"""The part of etcd's v3 API that is used here: messages by field number, and the methods.

The protobuf classes are built when the module is loaded, from the table below; there is no generated code.
Field numbers are those of etcd's published rpc.proto and kv.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_SCALARS = {
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    # enums travel as int32; their values are named below
    "enum": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
}

# message: fields as "NUMBER NAME TYPE"; [] repeats, a message name nests. Fields after "|" are one oneof.
_MESSAGES = {
    "ResponseHeader": "1 cluster_id uint64, 2 member_id uint64, 3 revision int64, 4 raft_term uint64",
    "KeyValue": "1 key bytes, 2 create_revision int64, 3 mod_revision int64, 4 version int64, 5 value bytes, "
    "6 lease int64",
    "Event": "1 type enum, 2 kv KeyValue, 3 prev_kv KeyValue",
    "RangeRequest": "1 key bytes, 2 range_end bytes, 3 limit int64, 4 revision int64, 7 serializable bool, "
    "8 keys_only bool, 9 count_only bool",
    "RangeResponse": "1 header ResponseHeader, 2 kvs []KeyValue, 3 more bool, 4 count int64",
    "PutRequest": "1 key bytes, 2 value bytes, 3 lease int64",
    "PutResponse": "1 header ResponseHeader",
    "DeleteRangeRequest": "1 key bytes, 2 range_end bytes",
    "DeleteRangeResponse": "1 header ResponseHeader, 2 deleted int64",
    "Compare": "1 result enum, 2 target enum, 3 key bytes | 6 mod_revision int64",
    "RequestOp": "| 1 request_range RangeRequest, 2 request_put PutRequest, "
    "3 request_delete_range DeleteRangeRequest",
    "ResponseOp": "| 1 response_range RangeResponse, 2 response_put PutResponse, "
    "3 response_delete_range DeleteRangeResponse",
    "TxnRequest": "1 compare []Compare, 2 success []RequestOp, 3 failure []RequestOp",
    "TxnResponse": "1 header ResponseHeader, 2 succeeded bool, 3 responses []ResponseOp",
    "CompactionRequest": "1 revision int64, 2 physical bool",
    "CompactionResponse": "1 header ResponseHeader",
    "WatchCreateRequest": "1 key bytes, 2 range_end bytes, 3 start_revision int64, 4 progress_notify bool, "
    "6 prev_kv bool, 7 watch_id int64, 8 fragment bool",
    "WatchRequest": "| 1 create_request WatchCreateRequest",
    "WatchResponse": "1 header ResponseHeader, 2 watch_id int64, 3 created bool, 4 canceled bool, "
    "5 compact_revision int64, 6 cancel_reason string, 7 fragment bool, 11 events []Event",
    "LeaseGrantRequest": "1 TTL int64, 2 ID int64",
    "LeaseGrantResponse": "1 header ResponseHeader, 2 ID int64, 3 TTL int64, 4 error string",
    "StatusRequest": "",
    "StatusResponse": "1 header ResponseHeader, 2 version string, 3 dbSize int64",
}
_PACKAGE = "kdist.etcdserverpb"

EQUAL, MOD_REVISION = 0, 2  # Compare.result, Compare.target
PUT, DELETE = 0, 1  # Event.type


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="kdist/etcd.proto", package=_PACKAGE, syntax="proto3")
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        plain, _, choice = text.partition("|")
        for row in filter(None, plain.split(",")):
            _add(message, row)
        if choice:
            message.oneof_decl.add(name="choice")
            for row in choice.split(","):
                _add(message, row).oneof_index = 0
    return file


def _add(message: descriptor_pb2.DescriptorProto, row: str) -> descriptor_pb2.FieldDescriptorProto:
    number, name, kind = row.split()
    field = message.field.add(name=name, number=int(number))
    repeated, kind = kind.startswith("[]"), kind.removeprefix("[]")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    return field


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Compare = _message("Compare")
CompactionRequest = _message("CompactionRequest")
DeleteRangeRequest = _message("DeleteRangeRequest")
LeaseGrantRequest = _message("LeaseGrantRequest")
PutRequest = _message("PutRequest")
RangeRequest = _message("RangeRequest")
RequestOp = _message("RequestOp")
StatusRequest = _message("StatusRequest")
TxnRequest = _message("TxnRequest")
WatchCreateRequest = _message("WatchCreateRequest")
WatchRequest = _message("WatchRequest")

# method: (path, request class, response class)
METHODS = {
    "range": ("/etcdserverpb.KV/Range", RangeRequest, _message("RangeResponse")),
    "txn": ("/etcdserverpb.KV/Txn", TxnRequest, _message("TxnResponse")),
    "compact": ("/etcdserverpb.KV/Compact", CompactionRequest, _message("CompactionResponse")),
    "status": ("/etcdserverpb.Maintenance/Status", StatusRequest, _message("StatusResponse")),
    "lease_grant": ("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest, _message("LeaseGrantResponse")),
}
WATCH = ("/etcdserverpb.Watch/Watch", WatchRequest, _message("WatchResponse"))
