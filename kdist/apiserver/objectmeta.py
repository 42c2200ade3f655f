"""The metadata that the server fills in and keeps: names, uids, times, the optimistic lock."""

from __future__ import annotations

import random
import uuid

from kdist.api import meta
from kdist.api.errors import BadRequest
from kdist.api.meta import Obj
from kdist.api.resources import Resource

# No vowels and nothing that looks like a digit: generated names never spell words.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_GENERATED_LENGTH = 63
_SET_BY_SERVER = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid", "creationTimestamp")


def generate_name(prefix: str) -> str:
    """``prefix`` and five random characters, at most 63 in all."""
    suffix = "".join(random.choices(_ALPHABET, k=_SUFFIX_LENGTH))
    return prefix[: _GENERATED_LENGTH - _SUFFIX_LENGTH] + suffix


def place(obj: Obj, resource: Resource, namespace: str, name: str = "", *, named: bool = False) -> Obj:
    """Give the object the URL's coordinates and its type; returns its metadata. BadRequest if they differ.

    With ``named`` the object has to say its name itself.
    """
    obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
    metadata: Obj = obj.setdefault("metadata", {})
    if resource.namespaced:
        have = metadata.setdefault("namespace", namespace)
        if have != namespace:
            raise BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
    else:
        metadata.pop("namespace", None)
    if name:
        if named and not metadata.get("name"):
            raise undeterminable(name)
        have = metadata.setdefault("name", name)
        if have != name:
            raise BadRequest(f"the name of the object ({have}) does not match the name on the URL ({name})")
    return metadata


def check_place(body: Obj, namespace: str) -> Obj:
    """The metadata of a body that is about an object, not one itself. BadRequest for another namespace."""
    metadata: Obj = body.get("metadata") or {}
    if metadata.get("namespace", namespace) != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return metadata


def place_named(body: Obj, namespace: str, name: str) -> None:
    """Check that a body that stands for an object names the one of the URL. BadRequest."""
    have = check_place(body, namespace).get("name")
    if not have:
        raise undeterminable(name)
    if have != name:
        raise BadRequest(f"the name of the object ({have}) does not match the name on the URL ({name})")


def undeterminable(name: str) -> BadRequest:
    """An object that has to say its name, and does not."""
    return BadRequest(
        f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
    )


def prepare_create(metadata: Obj, *, dry_run: bool = False) -> None:
    """Identity and birth of a new object. BadRequest when it claims to have been stored already.

    That is storage's rule: a dry run does not get that far.
    """
    if not dry_run and metadata.pop("resourceVersion", "") not in ("", "0"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for field in _SET_BY_SERVER:
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = meta.now()


def prepare_update(new: Obj, old: Obj) -> None:
    """Carry over what a client may leave out but not change."""
    for field in ("uid", "deletionGracePeriodSeconds", "generateName"):
        if field in old and field not in new:
            new[field] = old[field]
    for field in ("creationTimestamp", "deletionTimestamp"):
        if field in old:
            new[field] = old[field]
    new.pop("selfLink", None)
