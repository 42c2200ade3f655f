"""Content negotiation: what form the client wants objects in, and what form its body has."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from kdist.api.errors import NotAcceptable, UnsupportedMediaType
from kdist.api.resources import Resource

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
_SERVED = (JSON, YAML)  # the first is what a client gets that takes anything
_STREAMED = (JSON,)
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_TRANSFORM_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class Form:
    """How to render objects: a media type, and optionally as another kind of meta.k8s.io."""

    media_type: str = JSON
    kind: str = ""  # Table, PartialObjectMetadata, PartialObjectMetadataList
    version: str = "v1"  # of that kind's group
    pretty: bool = False

    @property
    def plain(self) -> bool:
        """Whether objects can go out as they lie in the cache."""
        return self.media_type == JSON and not self.kind and not self.pretty

    @property
    def api_version(self) -> str:
        """The apiVersion of the other kind."""
        return f"meta.k8s.io/{self.version}"

    def refuse_single(self, resource: Resource) -> None:
        """NotAcceptable when a list is to be shown as one object's metadata."""
        if self.kind == "PartialObjectMetadata":
            shown = _go_type(resource, resource.list_kind)
            raise NotAcceptable(f"you requested {self.kind}, but the requested object is a list ({shown})")

    def refuse_list(self, resource: Resource) -> None:
        """NotAcceptable when one object is to be shown as a list of metadata."""
        if self.kind == "PartialObjectMetadataList":
            shown = _go_type(resource, resource.kind)
            raise NotAcceptable(
                f"you requested {self.kind}, but the requested object is not a list ({shown})"
            )


PLAIN = Form()


def _go_type(resource: Resource, kind: str) -> str:
    """How upstream's messages name a kind."""
    return f"*{resource.group.partition('.')[0] or 'core'}.{kind}"


@functools.lru_cache(maxsize=256)
def accepted(accept: str) -> Form:
    """The form for an Accept header: the first clause that can be served, by quality. NotAcceptable if none.

    Two judges, as upstream: the router wants one clause to name a served type or ``*/*``, whatever its
    parameters; then the clauses are looked at with their parameters, where ``application/*`` counts, too.
    """
    if not accept or accept == "*/*":
        return PLAIN
    clauses = [_clause(part) for part in accept.split(",")]
    if not any(media_type in (*_SERVED, "*/*") for _, media_type, _ in clauses):
        told = f"406: Not Acceptable\n\nAvailable representations: {', '.join(_SERVED)}"
        raise NotAcceptable(told, details={})
    for _, media_type, parameters in sorted(clauses, key=lambda clause: -clause[0]):
        for served in _SERVED:
            if media_type in (served, "application/*", "*/*"):
                form = _form(served, parameters)
                if form is not None:
                    return form
    raise NotAcceptable(only_served())


def streamed(accept: str) -> Form:
    """The form of a watch for an Accept header. NotAcceptable when it is one that cannot be streamed."""
    form = accepted(accept)
    if form.media_type not in _STREAMED:
        listed = ", ".join(f"{media_type};stream=watch" for media_type in _STREAMED)
        raise NotAcceptable(f"only the following media types are accepted: {listed}")
    return form


def of_errors(accept: str) -> str:
    """The media type of an error: the one that was asked for, JSON when that is none of ours."""
    try:
        form = accepted(accept)
        return form.media_type if not form.kind else JSON
    except NotAcceptable:
        return JSON


def chosen(accept: str, offered: tuple[str, ...]) -> str | None:
    """Which of the offered media types an Accept header prefers, the first when it takes anything; None if none."""
    clauses = [_clause(part) for part in (accept or "*/*").split(",")]
    for quality, media_type, _ in sorted(clauses, key=lambda clause: -clause[0]):
        for form in offered:
            if quality > 0 and media_type in (form, "*/*", f"{form.partition('/')[0]}/*"):
                return form
    return None


def only_served() -> str:
    """What to tell a client that accepts nothing of what is there."""
    return f"only the following media types are accepted: {', '.join(_SERVED)}"


def _clause(text: str) -> tuple[float, str, dict[str, str]]:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = dict(part.partition("=")[::2] for part in rest)
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return quality, media_type.lower(), parameters


def _form(media_type: str, parameters: dict[str, str]) -> Form | None:
    """A served media type with the parameters of a clause; None when they ask for what is not there."""
    if (stream := parameters.get("stream")) and (stream != "watch" or media_type not in _STREAMED):
        return None
    pretty = parameters.get("pretty") == "1"
    if not parameters.keys() & {"as", "g", "v"}:
        return Form(media_type, pretty=pretty)
    kind, version = parameters.get("as", ""), parameters.get("v", "")
    known = kind in _TRANSFORMS and version in _TRANSFORM_VERSIONS
    if not known or parameters.get("g") != "meta.k8s.io":
        return None
    return Form(media_type, kind, version, pretty)


def body_type(content_type: str) -> str:
    """JSON, YAML or protobuf, for the Content-Type of an object's body. UnsupportedMediaType for others."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not content_type or media_type == JSON:
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
