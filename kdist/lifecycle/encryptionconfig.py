"""The EncryptionConfiguration of a cluster through its life: made once, keys exchanged one step at a time.

Pure: text in, text out. The file has one rule, whose first provider is secretbox (or identity, when nothing is to
be encrypted any more) and whose last one is identity, so that what was written before can be read. Exchanging a
key takes three steps with a roll-out to every API server between them: all must be able to read a key
before any of them writes with it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import yaml

Obj = dict[str, Any]
KEY_BYTES = 32
_HEAD = "# Keys of encryption at rest: whoever loses this file loses what they encrypted.\n"


class NotOurs(ValueError):
    """The file was written by a person: its shape is not the one that this module keeps."""


def new_secret() -> str:
    """A key as the file has it."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def converge(text: str | None, resources: Sequence[str], make: Callable[[], str] = new_secret) -> str | None:
    """The file that encrypts ``resources``; None when there is nothing to encrypt and never was.

    A file that is there keeps its keys. An empty ``resources`` turns encryption off for what is written from now
    on and still reads what was encrypted. NotOurs.
    """
    if text is None:
        return _text(_document(resources, [{"name": "key1", "secret": make()}])) if resources else None
    document = _parse(text)
    rule = document["resources"][0]
    off = not resources
    if resources:
        rule["resources"] = list(resources)
    rule["providers"] = _providers(_keys(document), off=off)
    return _text(document)


def add_key(text: str, make: Callable[[], str] = new_secret) -> str:
    """Step one: a new key that is read and not written with yet. NotOurs; ValueError when one waits already."""
    document = _parse(text)
    keys = _keys(document)
    if len(keys) > 1:
        raise ValueError("a key exchange is under way: promote the new key or remove the old one first")
    number = max((int(k["name"][3:]) for k in keys if k["name"][3:].isdigit()), default=0) + 1
    keys.append({"name": f"key{number}", "secret": make()})
    return _text(document)


def promote_key(text: str) -> str:
    """Step two: what is written from now on is encrypted with the newest key. NotOurs, ValueError."""
    document = _parse(text)
    keys = _keys(document)
    if len(keys) < 2:
        raise ValueError("there is no other key: add one first")
    keys.insert(0, keys.pop())
    return _text(document)


def remove_keys(text: str) -> str:
    """Step three, after everything was rewritten: only the first key is left. NotOurs, ValueError."""
    document = _parse(text)
    keys = _keys(document)
    if len(keys) < 2:
        raise ValueError("there is only one key")
    del keys[1:]
    return _text(document)


def stage(text: str) -> str:
    """Where an exchange is: ``stable``, ``added`` (the newest key reads) or ``promoted`` (it writes). NotOurs."""
    numbers = [int(key["name"][3:]) for key in _keys(_parse(text)) if key["name"][3:].isdigit()]
    if len(numbers) < 2:
        return "stable"
    return "promoted" if numbers[0] == max(numbers) else "added"


# Step of an exchange -> the stage it begins at, the stage it leads to, and what does it.
_STEPS: dict[str, tuple[str, str, Callable[[str], str]]] = {
    "add": ("stable", "added", add_key),
    "promote": ("added", "promoted", promote_key),
    "remove": ("promoted", "stable", remove_keys),
}


def advance(text: str, step: str) -> str:
    """Take a step (add, promote, remove); one that was taken before changes nothing. NotOurs, ValueError."""
    begins, leads, take = _STEPS[step]
    now = stage(text)
    if now == leads:
        return text
    if now != begins:
        following = next(name for name, (begin, _, _) in _STEPS.items() if begin == now)
        raise ValueError(f"{step} does not follow now: the next step is {following}")
    return take(text)


def _document(resources: Sequence[str], keys: list[Obj]) -> Obj:
    rule = {"resources": list(resources), "providers": _providers(keys, off=False)}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [rule],
    }


def _providers(keys: list[Obj], *, off: bool) -> list[Obj]:
    providers: list[Obj] = [{"secretbox": {"keys": keys}}, {"identity": {}}]
    return providers[::-1] if off else providers


def _keys(document: Obj) -> list[Obj]:
    for provider in document["resources"][0]["providers"]:
        if "secretbox" in provider:
            keys: list[Obj] = provider["secretbox"]["keys"]
            return keys
    raise NotOurs("the encryption configuration has no secretbox provider")


def _parse(text: str) -> Obj:
    document = yaml.safe_load(text)
    rules = document.get("resources") if isinstance(document, dict) else None
    if not isinstance(rules, list) or len(rules) != 1:
        raise NotOurs("the encryption configuration has more than one rule: change it by hand")
    names = {name for provider in rules[0].get("providers") or () for name in provider}
    if not names <= {"secretbox", "identity"}:
        listed = ", ".join(sorted(names - {"secretbox", "identity"}))
        raise NotOurs(f"the encryption configuration uses {listed}: change it by hand")
    parsed: Obj = document
    return parsed


def _text(document: Obj) -> str:
    return _HEAD + yaml.safe_dump(document, sort_keys=False)
