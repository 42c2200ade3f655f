"""Whether a body is of the type that its URL takes."""

from __future__ import annotations

from collections.abc import Callable

from kdist.api.errors import BadRequest
from kdist.api.meta import Obj


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
        raise BadRequest(f"{opening}converting ({have_kind}) to ({kind}): unknown conversion")
    if have_version != api_version:
        raise BadRequest(
            f"the API version in the data ({have_version}) does not match the expected API version ({api_version})"
        )
