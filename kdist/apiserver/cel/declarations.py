"""The functions that expressions may call, as Kubernetes 1.32 declares them to the type checker.

Standard functions, macros, optionals, sets and two-variable comprehensions are the library's; what Kubernetes and
the strings extension (version 2) add is declared here, and what they overload is declared anew. An overload is
``id: [TARGET.]argument, ... -> result``; a single capital letter is a type parameter.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

AUTHORIZER = "kubernetes.authorization.Authorizer"
_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMABLE = ("int", "uint", "double", "duration")
_ORDERS = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}
_ALIASES = {
    "quantity": "kubernetes.Quantity",
    "url": "kubernetes.URL",
    "ip": "net.IP",
    "cidr": "net.CIDR",
    "format": "kubernetes.NamedFormat",
    "authorizer": AUTHORIZER,
    "pathcheck": "kubernetes.authorization.PathCheck",
    "groupcheck": "kubernetes.authorization.GroupCheck",
    "resourcecheck": "kubernetes.authorization.ResourceCheck",
    "decision": "kubernetes.authorization.Decision",
}

_FUNCTIONS: dict[str, list[str]] = {
    # strings
    "charAt": ["string_char_at_int: string.int -> string"],
    "indexOf": [
        "string_index_of_string: string.string -> int",
        "string_index_of_string_int: string.string, int -> int",
        "list_a_index_of_int: list(A).A -> int",
    ],
    "lastIndexOf": [
        "string_last_index_of_string: string.string -> int",
        "string_last_index_of_string_int: string.string, int -> int",
        "list_a_last_index_of_int: list(A).A -> int",
    ],
    "lowerAscii": ["string_lower_ascii: string. -> string"],
    "upperAscii": ["string_upper_ascii: string. -> string"],
    "replace": [
        "string_replace_string_string: string.string, string -> string",
        "string_replace_string_string_int: string.string, string, int -> string",
    ],
    "split": [
        "string_split_string: string.string -> list(string)",
        "string_split_string_int: string.string, int -> list(string)",
    ],
    "substring": [
        "string_substring_int: string.int -> string",
        "string_substring_int_int: string.int, int -> string",
    ],
    "trim": ["string_trim: string. -> string"],
    "format": ["string_format: string.list(dyn) -> string"],
    "strings.quote": ["strings_quote: string -> string"],
    "join": ["list_join: list(string). -> string", "list_join_string: list(string).string -> string"],
    # regex
    "find": ["string_find_string: string.string -> string"],
    "findAll": [
        "string_find_all_string: string.string -> list(string)",
        "string_find_all_string_int: string.string, int -> list(string)",
    ],
    # url
    "url": ["string_to_url: string -> url"],
    "isURL": ["is_url_string: string -> bool"],
    "getScheme": ["url_get_scheme: url. -> string"],
    "getHost": ["url_get_host: url. -> string"],
    "getHostname": ["url_get_hostname: url. -> string"],
    "getPort": ["url_get_port: url. -> string"],
    "getEscapedPath": ["url_get_escaped_path: url. -> string"],
    "getQuery": ["url_get_query: url. -> map(string,list(string))"],
    # ip and cidr
    "ip": ["string_to_ip: string -> ip", "cidr_ip: cidr. -> ip"],
    "isIP": ["is_ip: string -> bool"],
    "ip.isCanonical": ["ip_is_canonical: string -> bool"],
    "family": ["ip_family: ip. -> int"],
    "isUnspecified": ["ip_is_unspecified: ip. -> bool"],
    "isLoopback": ["ip_is_loopback: ip. -> bool"],
    "isLinkLocalMulticast": ["ip_is_link_local_multicast: ip. -> bool"],
    "isLinkLocalUnicast": ["ip_is_link_local_unicast: ip. -> bool"],
    "isGlobalUnicast": ["ip_is_global_unicast: ip. -> bool"],
    "cidr": ["string_to_cidr: string -> cidr"],
    "isCIDR": ["is_cidr: string -> bool"],
    "containsIP": [
        "cidr_contains_ip_string: cidr.string -> bool",
        "cidr_contains_ip_ip: cidr.ip -> bool",
    ],
    "containsCIDR": [
        "cidr_contains_cidr_string: cidr.string -> bool",
        "cidr_contains_cidr: cidr.cidr -> bool",
    ],
    "prefixLength": ["cidr_prefix_length: cidr. -> int"],
    "masked": ["cidr_masked: cidr. -> cidr"],
    # quantity
    "quantity": ["string_to_quantity: string -> quantity"],
    "isQuantity": ["is_quantity_string: string -> bool"],
    "sign": ["quantity_sign: quantity -> int"],
    "isGreaterThan": ["quantity_is_greater_than: quantity.quantity -> bool"],
    "isLessThan": ["quantity_is_less_than: quantity.quantity -> bool"],
    "compareTo": ["quantity_compare_to: quantity.quantity -> int"],
    "asApproximateFloat": ["quantity_get_float: quantity. -> double"],
    "asInteger": ["quantity_get_int: quantity. -> int"],
    "isInteger": ["quantity_is_integer: quantity. -> bool"],
    "add": ["quantity_add: quantity.quantity -> quantity", "quantity_add_int: quantity.int -> quantity"],
    "sub": ["quantity_sub: quantity.quantity -> quantity", "quantity_sub_int: quantity.int -> quantity"],
    # format
    "validate": ["format-validate: format.string -> optional_type(list(string))"],
    "format.named": ["format-named: string -> optional_type(format)"],
    # authorizer
    "path": ["authorizer_path: authorizer.string -> pathcheck"],
    "group": ["authorizer_group: authorizer.string -> groupcheck"],
    "serviceAccount": ["authorizer_serviceaccount: authorizer.string, string -> authorizer"],
    "resource": ["groupcheck_resource: groupcheck.string -> resourcecheck"],
    "subresource": ["resourcecheck_subresource: resourcecheck.string -> resourcecheck"],
    "namespace": ["resourcecheck_namespace: resourcecheck.string -> resourcecheck"],
    "name": ["resourcecheck_name: resourcecheck.string -> resourcecheck"],
    "fieldSelector": ["authorizer_fieldselector: resourcecheck.string -> resourcecheck"],
    "labelSelector": ["authorizer_labelselector: resourcecheck.string -> resourcecheck"],
    "check": [
        "pathcheck_check: pathcheck.string -> decision",
        "resourcecheck_check: resourcecheck.string -> decision",
    ],
    "allowed": ["decision_allowed: decision. -> bool"],
    "reason": ["decision_reason: decision. -> string"],
    "errored": ["decision_errored: decision. -> bool"],
    "error": ["decision_error: decision. -> string"],
    # lists
    "isSorted": [f"list_{t}_is_sorted_bool: list({t}). -> bool" for t in _COMPARABLE],
    "sum": [f"list_{t}_sum_{t}: list({t}). -> {t}" for t in _SUMMABLE],
    "min": [f"list_{t}_min_{t}: list({t}). -> {t}" for t in _COMPARABLE],
    "max": [f"list_{t}_max_{t}: list({t}). -> {t}" for t in _COMPARABLE],
    # conversions that Kubernetes' types join
    "string": [
        "string_to_string: string -> string",
        "bool_to_string: bool -> string",
        "bytes_to_string: bytes -> string",
        "double_to_string: double -> string",
        "duration_to_string: duration -> string",
        "int64_to_string: int -> string",
        "timestamp_to_string: timestamp -> string",
        "uint64_to_string: uint -> string",
        "ip_to_string: ip -> string",
        "cidr_to_string: cidr -> string",
    ],
}
FORMAT_NAMES = (
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
)


def _orders(name: str) -> list[str]:
    """Comparisons, also across types of numbers."""
    numbers = {"int": "int64", "uint": "uint64", "double": "double"}
    same = [f"{name}_{numbers.get(t, t)}: {t}, {t} -> bool" for t in _COMPARABLE]
    return same + [
        f"{name}_{numbers[one]}_{numbers[other]}: {one}, {other} -> bool"
        for one in numbers
        for other in numbers
        if one != other
    ]


#: What only expressions that make patches may call.
_PATCHING = {"jsonpatch.escapeKey": ["string_jsonpatch_escapeKey_string: string -> string"]}


@cache
def configuration(*, patching: bool = False) -> str:
    """The environment's description in the library's own notation (YAML, of which JSON is a part)."""
    functions = {**_FUNCTIONS, **(_PATCHING if patching else {})}
    functions.update((operator, _orders(name)) for operator, name in _ORDERS.items())
    functions.update((f"format.{name}", [f"format.{name}: -> format"]) for name in FORMAT_NAMES)
    return json.dumps(
        {
            "name": "kubernetes",
            "stdlib": {"exclude_functions": [{"name": name} for name in (*_ORDERS, "string")]},
            "extensions": [{"name": name} for name in ("optional", "sets", "two-var-comprehensions")],
            # types whose names expressions compare type(x) with
            "variables": [{"name": name, "type": f"type<{name}>"} for name in ("net.IP", "net.CIDR")],
            "functions": [
                {"name": name, "overloads": [_overload(text) for text in overloads]}
                for name, overloads in functions.items()
            ],
        }
    )


def _overload(text: str) -> dict[str, Any]:
    identity, _, signature = text.partition(": ")
    taken, _, result = signature.partition("-> ")
    target, dot, arguments = taken.strip().rpartition(".")
    made: dict[str, Any] = {"id": identity, "return": _type(result)}
    if dot:
        made["target"] = _type(target)
    made["args"] = [_type(argument) for argument in arguments.split(", ") if argument.strip()]
    return made


def _type(text: str) -> dict[str, Any]:
    text = text.strip()
    if len(text) == 1:
        return {"type_name": text, "is_type_param": True}
    name, _, inner = text.partition("(")
    made: dict[str, Any] = {"type_name": _ALIASES.get(name, name)}
    if inner:
        made["params"] = [_type(part) for part in inner[:-1].split(",", 1 if name == "map" else 0)]
    return made
