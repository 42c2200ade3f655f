"""What of an answer has to be the same on every server.

Names that the server makes up, times, addresses, tokens and versions of objects are replaced by what they are.
A value that the request itself brought stays as it is.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from tests.corpus.transport import Answer

Facts = dict[str, Any]
UNSUPPORTED = 415

_UID = re.compile(r"(?!0{8})[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_SERVICE_IP = re.compile(r"10\.96\.\d+\.\d+")
_NODE_PORT = re.compile(r"(?<=\d:)\d{5}(?=/)")
# What cases ask for stays; other addresses and ports of Services are the server's choice, also where a request
# sends them back.
_ASKED = re.compile(r"10\.96\.(44|1)\.\d+")
_ASKED_PORTS = (31000, 31080, 31081, 31234, 31235, 31500, 100000)
_LOWEST_PORT = 30000
_SUFFIX = re.compile(
    r"(?<=generated-)[a-z0-9]{5}|(?<=kube-api-access-)[a-z0-9]{5}|(?<=Not_valid name)[a-z0-9]{5}"
)
_COMPOSITE = re.compile(
    r"((?:Invalid|Unsupported|Duplicate) value: )"
    r"(map\[[\w.]*\]\*?[\w.]+|[&*]*(\[\])?\*?\w+(\.\w+)+|\[\]\w+|&)?(?P<bracket>[{(\[])"
)
# Upstream tells some quantities as Go structs.
_AMOUNT = r'^(Invalid value: )"[^"]*"(: (?:must be an integer|ratio |min value |default (?:request )?value ))'
_WHOLE_OBJECT = re.compile(r'"\{.*\}": ')
# What libraries say about text that does not parse, and where upstream keeps its types.
_LIBRARIES = re.compile(
    r"((?:json|yaml) parse error|error decoding patch|continue key is not valid|error decoding YAML"
    r'|parsing time "[^"]*")(:? .*)?'
    r'| in scheme "[^"]*"',
    re.S,
)
# What the vendor of the recorded server adds: to the token volume of every pod, and to what everybody may read.
_SERVICE_CA = {
    "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}],
    "name": "openshift-service-ca.crt",
}
_WELL_KNOWN = {"nonResourceURLs": ["/.well-known", "/.well-known/*"], "verbs": ["get"]}
_VENDOR = ({"configMap": _SERVICE_CA}, _WELL_KNOWN)
# Lists that upstream fills in the order in which it finds roles.
_UNORDERED = ("nonResourceRules", "resourceRules")
_COUNTS = ("maxSurge", "maxUnavailable", "minAvailable")
_AGE = re.compile(r"\d+(ms|s|m)|<unknown>")
# Since a time that an object of the corpus names: it grows by a day a day.
_YEARS = re.compile(r"\d+y(\d+d)?")
_VERSION = re.compile(r"((?<=in record \()|(?<=ResourceVersion in object meta: ))\d+")
_STORAGE = re.compile(
    r"StorageError: invalid object, Code: 4, Key: \S+, ResourceVersion: 0, AdditionalErrorMsg: "
)
_MADE_UP = (
    (_NODE_PORT, "PORT"),
    (_UID, "UID"),
    (_TOKEN, "TOKEN"),
    (_SUFFIX, "SUFFIX"),
    (_VERSION, "VERSION"),
    (_STORAGE, ""),
)
_REPLACED = ((_TIME, "TIME"),)


def of(answer: Answer, sent: str = "") -> Facts:
    """The facts of an answer to a request whose text is ``sent``."""
    body = _normal(answer.body, sent)
    facts: Facts = {"status": answer.status}
    if isinstance(body, dict) and body.get("kind") == "Status" and body.get("status") == "Failure":
        facts |= _failure(body)
    elif isinstance(body, dict) and body.get("kind") == "Table":
        facts |= _table(body)
    else:
        for item in body.get("items") or () if isinstance(body, dict) else ():
            for field in ("apiVersion", "kind"):  # of a list that names them; ours writes them out
                item.pop(field, None)
        facts["body"] = body
    if answer.warnings:
        facts["warnings"] = sorted(_text(re.sub(r'^299 \S+ "|"$', "", w), sent) for w in answer.warnings)
    if answer.retry_after:
        facts["retryAfter"] = answer.retry_after
    return facts


def _told(message: str) -> str:
    """A message without the inside of a struct, list or map, which every language writes its own way."""
    start = _COMPOSITE.match(message)
    if not start:
        return message
    depth, quoted = 0, False
    for at, letter in enumerate(message[start.start("bracket") :], start.start("bracket")):
        if letter == '"' and message[at - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "{[(") - (letter in "}])")
        if depth == 0:
            return f"{start[1]}COMPOSITE{message[at + 1 :]}"
    return message


def _cause(cause: dict[str, Any]) -> tuple[str, str, str]:
    """Field, reason and message, without the difference of Go structs that some messages end with."""
    field, message = cause.get("field", ""), cause.get("message", "")
    if field == "patch":  # the whole object as JSON, in which order does not matter
        message = _WHOLE_OBJECT.sub("OBJECT: ", message)
    message = re.sub(r"strconv.Atoi: parsing .*: ", "", message)
    if field.endswith(_COUNTS):  # numbers or percentages
        message = re.sub(
            r'^Invalid value: ("[^"]*"|0|\d+(?=: may not)): ', "Invalid value: COMPOSITE: ", message
        )
    message = re.sub(_AMOUNT, r"\1COMPOSITE\2", message)
    return field, cause.get("reason", ""), _told(message).partition("\n")[0].rstrip(": ")


def _failure(status: dict[str, Any]) -> Facts:
    details = status.get("details") or {}
    causes = sorted({_cause(c) for c in details.get("causes") or ()})
    facts: Facts = {"reason": status.get("reason", "")}
    if causes:  # the message repeats them
        facts["causes"] = [list(cause) for cause in causes]
    elif status.get("code") != UNSUPPORTED:  # upstream tells no more than that
        facts["message"] = _LIBRARIES.sub(lambda found: found[1] or "", status.get("message", ""))
    for field in ("name", "group", "kind", "retryAfterSeconds"):
        if field in details:
            facts[field] = details[field]
    return facts


def _table(table: dict[str, Any]) -> Facts:
    columns = [
        [c["name"], c["type"], c.get("format", ""), c.get("priority", 0)] for c in table["columnDefinitions"]
    ]
    ages = {
        at
        for at, c in enumerate(table["columnDefinitions"])
        if c["name"] in ("Age", "Last Seen", "First Seen")
    }
    rows = [
        [_cell(cell, age=at in ages) for at, cell in enumerate(row["cells"])]
        for row in table.get("rows") or ()
    ]
    return {"columns": columns, "rows": rows}


def _cell(cell: Any, *, age: bool) -> Any:
    """A cell of a table; ``age``: of a column that tells when something was made or seen."""
    if not isinstance(cell, str):
        return cell
    return "AGE" if age and _AGE.fullmatch(cell) else "YEARS" if _YEARS.fullmatch(cell) else cell


def _normal(value: Any, sent: str, field: str = "") -> Any:
    if isinstance(value, dict):
        return {
            k: _normal(v, sent, k) for k, v in value.items() if v is not None and v != []
        }  # no more than nothing
    if isinstance(value, list) and field in _UNORDERED:
        return sorted((_normal(v, sent, field) for v in value if v not in _VENDOR), key=_sorting)
    if isinstance(value, list):
        return [_normal(v, sent, field) for v in value if v not in _VENDOR]
    if isinstance(value, str):
        return "VERSION" if field == "resourceVersion" and value else _text(value, sent)
    if field in ("nodePort", "healthCheckNodePort") and isinstance(value, int):
        asked = str(value) in sent and (value < _LOWEST_PORT or value in _ASKED_PORTS)
        return value if asked else "PORT"
    return value


def _sorting(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _text(text: str, sent: str) -> str:
    for pattern, name in _MADE_UP:
        text = pattern.sub(name, text)
    text = _SERVICE_IP.sub(
        lambda found: found[0] if found[0] in sent and _ASKED.fullmatch(found[0]) else "SERVICE-IP", text
    )
    for pattern, name in _REPLACED:
        text = pattern.sub(lambda found, name=name: found[0] if found[0] in sent else name, text)  # type: ignore[misc]
    return text


def difference(base: Any, value: Any) -> Any:
    """What has to be merged into ``base`` to get ``value``: null removes, lists of one length go item by item."""
    if isinstance(base, list) and isinstance(value, list) and len(base) == len(value):
        pairs = enumerate(zip(base, value, strict=True))
        return {f"[{at}]": difference(one, other) for at, (one, other) in pairs if one != other}
    if not isinstance(base, dict) or not isinstance(value, dict):
        return value
    changed = {k: difference(base.get(k), v) for k, v in value.items() if k not in base or base[k] != v}
    return {**changed, **dict.fromkeys(k for k in base if k not in value)}
