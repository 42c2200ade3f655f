"""Content negotiation: what form the client wants objects in, and what form its body has."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from kdist.api.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
_SERVED = {JSON: JSON, YAML: YAML, "application/*": JSON, "*/*": JSON, "text/yaml": YAML}
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class Form:
    """How to render objects: a media type, and optionally as what other kind."""

    media_type: str = JSON
    kind: str = ""  # Table, PartialObjectMetadata, PartialObjectMetadataList

    @property
    def plain(self) -> bool:
        """Whether objects can go out as they lie in the cache."""
        return self.media_type == JSON and not self.kind


PLAIN = Form()


@functools.lru_cache(maxsize=256)
def accepted(accept: str, *, stream: bool = False) -> Form:
    """The form for an Accept header: the first clause that can be served, by quality. NotAcceptable if none."""
    if not accept or accept == "*/*":
        return PLAIN
    clauses = [_clause(part) for part in accept.split(",") if part.strip()]
    for _, media_type, parameters in sorted(clauses, key=lambda clause: -clause[0]):
        form = _form(media_type, parameters, stream)
        if form is not None:
            return form
    raise NotAcceptable(only_served() + (", application/json;stream=watch" if stream else ""))


def only_served() -> str:
    """What to tell a client that accepts nothing of what is there."""
    return f"only the following media types are accepted: {JSON}, {YAML}"


def _clause(text: str) -> tuple[float, str, dict[str, str]]:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = dict(part.partition("=")[::2] for part in rest)
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return quality, media_type.lower(), parameters


def _form(media_type: str, parameters: dict[str, str], stream: bool) -> Form | None:
    served = _SERVED.get(media_type)
    if served is None or (stream and served != JSON):
        return None
    kind = parameters.get("as", "")
    if not kind:
        return Form(served)
    if kind not in _TRANSFORMS or parameters.get("g") != "meta.k8s.io" or parameters.get("v") != "v1":
        return None
    return Form(served, kind)


def body_type(content_type: str) -> str:
    """JSON, YAML or protobuf, for the Content-Type of an object's body. UnsupportedMediaType for others."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type or media_type == JSON:
        return JSON
    if media_type == PROTOBUF:
        return PROTOBUF
    if media_type in (YAML, "text/yaml"):
        return YAML
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    )


def patch_type(content_type: str) -> str:
    """``json``, ``merge``, ``strategic`` or ``apply``, for a patch's Content-Type. UnsupportedMediaType."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in PATCH_TYPES:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(PATCH_TYPES)
        )
    return PATCH_TYPES[media_type]
