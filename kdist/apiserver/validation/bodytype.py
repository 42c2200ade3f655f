"""Whether a body is of the type that its URL takes."""

from __future__ import annotations

from collections.abc import Callable

from kdist.api.errors import BadRequest
from kdist.api.meta import Obj


def _of(api_version: str, kind: str) -> str:
    """``v1.Deployment``: a type by its version."""
    return f"{api_version.rpartition('/')[2]}.{kind}"


def _into(api_version: str, kind: str) -> str:
    """``apps.Deployment``: a type by its group, which is what a body is made into."""
    group = api_version.rpartition("/")[0].partition(".")[0] or "core"
    return f"{group}.{kind}"


def check_type(body: Obj, api_version: str, kind: str, known: Callable[[str, str], object]) -> None:
    """Check that a body says it is what the URL takes, if it says anything. BadRequest.

    ``known`` finds the schema of a version and kind, None when there is no such type.
    """
    have_kind, have_version = body.get("kind") or kind, body.get("apiVersion") or api_version
    if (have_kind, have_version) == (kind, api_version):
        return
    opening = f'{have_kind} in version "{have_version.rpartition("/")[2]}" cannot be handled as a {kind}: '
    if known(have_version, have_kind) is None:
        raise BadRequest(f'{opening}no kind "{have_kind}" is registered for version "{have_version}"')
    if have_kind != kind:
        told = (
            f"converting ({_of(have_version, have_kind)}) to ({_into(api_version, kind)}): unknown conversion"
        )
        raise BadRequest(opening + told)
    if have_version != api_version:
        raise BadRequest(
            f"the API version in the data ({have_version}) does not match the expected API version ({api_version})"
        )
