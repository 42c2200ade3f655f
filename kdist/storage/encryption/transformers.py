"""Which provider writes a resource, and which ones may have written it.

The first provider of a resource writes. A value is read by the provider and key that its prefix names; one that
another than the first provider and key wrote is *outdated*: its next write renews it even without a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kdist.storage.encryption.ciphers import Cipher, Undecipherable

ENCRYPTED = b"k8s:enc:"
EVERY = "*"
# (group, plural)
GroupResource = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Plain:
    """A value as it is, and whether it should be written anew."""

    value: bytes
    outdated: bool


class Provider(Protocol):
    """A way to keep values; ``prefix`` marks those it wrote."""

    prefix: bytes

    def write(self, plain: bytes, context: bytes) -> bytes:
        """The value to store, prefix included."""

    def read(self, data: bytes, context: bytes) -> Plain:
        """The value of ``data``, which begins with the prefix. Raises Undecipherable."""


class PluginError(Exception):
    """Who keeps the keys does not answer, or not as it should."""


@runtime_checkable
class Asking(Protocol):
    """A provider that asks somebody for its keys: before reading and beside writing."""

    prefix: bytes

    def knows(self, data: bytes) -> bool:
        """Whether ``data`` can be read at once."""

    async def prepare(self, data: bytes) -> None:
        """Ask for what reading ``data`` takes."""

    @property
    def failure(self) -> str | None:
        """Why nothing can be written now, or None."""

    async def refresh(self) -> None:
        """Make able to write. PluginError."""

    async def watch(self, recovered: Callable[[], Any]) -> None:
        """Keep able to write, until cancelled."""


class Identity:
    """Values as they are; refuses those that are encrypted, so that the next provider is asked."""

    prefix = b""

    def write(self, plain: bytes, context: bytes) -> bytes:
        """See the protocol."""
        return plain

    def read(self, data: bytes, context: bytes) -> Plain:
        """See the protocol."""
        if data.startswith(ENCRYPTED):
            raise Undecipherable("identity transformer tried to read encrypted data")
        return Plain(data, outdated=False)


class Keyed:
    """A provider with keys: the first one writes, the named one reads."""

    def __init__(self, kind: str, keys: Sequence[tuple[str, Cipher]]) -> None:
        self.prefix = b"k8s:enc:%b:v1:" % kind.encode()
        self._kind = kind
        self._keys = [(self.prefix + name.encode() + b":", cipher) for name, cipher in keys]

    def write(self, plain: bytes, context: bytes) -> bytes:
        """See the protocol."""
        prefix, cipher = self._keys[0]
        return prefix + cipher.encrypt(plain, context)

    def read(self, data: bytes, context: bytes) -> Plain:
        """See the protocol."""
        failures = []
        for at, (prefix, cipher) in enumerate(self._keys):
            if not data.startswith(prefix):
                continue
            try:
                return Plain(cipher.decrypt(data[len(prefix) :], context), outdated=at != 0)
            except Undecipherable as error:  # two keys may have one name while they are exchanged
                failures.append(error)
        raise _all(failures) or Undecipherable(f"no matching key was found for the {self._kind} provider")


class Transformer:
    """The providers of one resource, in their order."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = tuple(providers)
        self._asking = [p for p in providers if isinstance(p, Asking)]

    def unknown(self, data: bytes) -> Asking | None:
        """The provider that has to ask before ``data`` can be read."""
        for provider in self._asking:
            if data.startswith(provider.prefix) and not provider.knows(data):
                return provider
        return None

    def write(self, plain: bytes, context: bytes) -> bytes:
        """The value to store."""
        return self._providers[0].write(plain, context)

    def read(self, data: bytes, context: bytes) -> Plain:
        """A stored value as it is. Raises Undecipherable."""
        failures = []
        for at, provider in enumerate(self._providers):
            if not data.startswith(provider.prefix):
                continue
            try:
                plain = provider.read(data, context)
            except Undecipherable as error:
                if provider.prefix:
                    failures.append(error)
                continue
            return Plain(plain.value, plain.outdated or at != 0)
        raise _all(failures) or Undecipherable("no matching prefix found")


def _all(failures: Sequence[Undecipherable]) -> Undecipherable | None:
    if len(failures) < 2:
        return failures[0] if failures else None
    return Undecipherable("[" + ", ".join(dict.fromkeys(str(f) for f in failures)) + "]")


#: What holds where no rule speaks of a resource.
IDENTITY = Transformer([Identity()])


class Transformers:
    """The transformer of each resource: its own, its group's (``*.GROUP``), everybody's (``*.*``), or none."""

    def __init__(self, rules: Mapping[GroupResource, Sequence[Provider]]) -> None:
        self._rules = {resource: Transformer(providers) for resource, providers in rules.items()}
        #: The providers that ask others for their keys.
        self.asking = list(
            dict.fromkeys(p for providers in rules.values() for p in providers if isinstance(p, Asking))
        )

    def of(self, group: str, plural: str) -> Transformer:
        """A resource's transformer; identity when no rule speaks of it."""
        for wanted in ((group, plural), (group, EVERY), (EVERY, EVERY)):
            found = self._rules.get(wanted)
            if found is not None:
                return found
        return IDENTITY
