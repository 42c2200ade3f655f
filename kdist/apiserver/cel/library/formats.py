"""Named formats of Kubernetes: ``format.dns1123Label().validate(text)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library import urls
from kdist.apiserver.cel.library.formatting import string_format
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import NONE, Opaque, Optional
from kdist.apiserver.crd import formats
from kdist.apiserver.validation import names


@dataclass(frozen=True, slots=True)
class Format(Opaque):
    """A format; ``regex_size`` is what applying it is counted as."""

    cel_type: ClassVar[str] = "kubernetes.NamedFormat"
    name: str
    complaints: names.Rule
    regex_size: int


def _prefix(rule: names.Rule) -> names.Rule:
    """The rule for the beginning of a name, which more will follow."""
    return lambda given: rule(given.rstrip("-") or given)


def _published(format: str, told: str) -> names.Rule:
    return lambda given: [] if formats.holds(format, given) else [told]


def _uri(given: str) -> list[str]:
    try:
        urls.parse(given)
    except EvaluationError as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


# sizes of the expressions upstream applies, or of those it counts in their place
FORMATS: dict[str, Format] = {
    "dns1123Label": Format("DNS1123Label", names.dns_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.dns_subdomain, 60),
    "dns1035Label": Format("DNS1035Label", names.dns_1035_label, 30),
    "qualifiedName": Format("QualifiedName", names.qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(names.dns_label), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _prefix(names.dns_subdomain), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(names.dns_1035_label), 30),
    "labelValue": Format("LabelValue", names.label_value, 40),
    "uri": Format("URI", _uri, 1500),
    "uuid": Format("uuid", _published("uuid", "does not match the UUID format"), 80),
    "byte": Format("byte", _published("byte", "invalid base64"), 94),
    "date": Format("date", _published("date", "invalid date"), 115),
    "datetime": Format("datetime", _published("datetime", "invalid datetime"), 115),
}


def named(name: Any) -> Optional:
    """The format of a name, if there is one."""
    found = FORMATS.get(text(name))
    return NONE if found is None else Optional(found, True)


def validate(format: Any, given: Any) -> Optional:
    """The complaints about a text; none when it has the format."""
    if not isinstance(format, Format):
        raise no_such_overload()
    complaints = format.complaints(text(given))
    return Optional(complaints, True) if complaints else NONE


def _constant(format: Format) -> Callable[[], Format]:
    return lambda: format


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "format": string_format,
    "format.named": named,
    "validate": validate,
    **{f"format.{name}": _constant(format) for name, format in FORMATS.items()},
}
