"""Exchanging an authority, or the key of service-account tokens, on the host that keeps them.

Three phases, each brought to every host and taken up there before the next begins::

    stable --trust--> trusted --issue--> issued --drop--> stable
    [A]      A signs   [A, B]   A signs   [B, A]  B signs   [B]

``ca.crt`` is the bundle that everybody trusts; its first certificate is the one that signs, and ``ca.key`` is its key.
For tokens, ``sa.pub`` and ``sa.key`` are the same. The one that is to come waits in ``NAME-next`` and never leaves
this host: when the host is lost, another one drops it and can begin again.

Every phase writes its files in an order in which an interruption leaves something that the same phase finishes.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path, PurePosixPath

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kdist.pki import issue, jws, plan
from kdist.pki.files import HostFiles, write
from kdist.pki.issue import Pair
from kdist.pki.plan import AuthoritySpec

TOKENS = "service-account"
NAMES = (*(spec.name for spec in plan.AUTHORITIES), TOKENS)


class Phase(Enum):
    """A step of an exchange."""

    TRUST = "trust"
    ISSUE = "issue"
    DROP = "drop"


class State(Enum):
    """Where an exchange is; the value says what was done last."""

    STABLE = "stable"
    TRUSTED = "trusted"
    ISSUED = "issued"


# The phase that leads on from a state.
NEXT = {State.STABLE: Phase.TRUST, State.TRUSTED: Phase.ISSUE, State.ISSUED: Phase.DROP}
# Where a phase leads.
AFTER = {Phase.TRUST: State.TRUSTED, Phase.ISSUE: State.ISSUED, Phase.DROP: State.STABLE}


class OutOfOrder(ValueError):
    """The phase does not follow from the state; the text says which one does."""


def certificates(bundle: bytes) -> list[bytes]:
    """The certificates of a bundle, one PEM each. ValueError for an empty or damaged one."""
    return [
        found.public_bytes(serialization.Encoding.PEM) for found in x509.load_pem_x509_certificates(bundle)
    ]


class Exchange:
    """One authority or key pair on the disk of its keeper. OSError, ValueError for files that are not usable."""

    def __init__(self, files: HostFiles, name: str) -> None:
        """ValueError for a name that there is not."""
        if name not in NAMES:
            raise ValueError(f"there is no authority {name!r}: known are {', '.join(NAMES)}")
        self.name = name
        self._files = files
        self._spec = next((spec for spec in plan.AUTHORITIES if spec.name == name), None)

    # ----- places

    @property
    def _place(self) -> PurePosixPath:
        return self._spec.path if self._spec else plan.SERVICE_ACCOUNT_KEY.with_suffix("")

    @property
    def _suffix(self) -> str:
        return ".crt" if self._spec else ".pub"

    def _path(self, what: str, *, coming: bool = False) -> Path:
        place = self._place.with_name(self._place.name + "-next") if coming else self._place
        return self._files.path(place, what)

    # ----- contents

    def trusted(self) -> list[bytes]:
        """What is trusted; the first signs."""
        content = self._path(self._suffix).read_bytes()
        return certificates(content) if self._spec else split_public_keys(content)

    def coming(self) -> bytes | None:
        """The certificate (public key) that is to sign next, if its pair is there and is not the one that signs."""
        try:
            found = self._path(self._suffix, coming=True).read_bytes()
            self._path(".key", coming=True).read_bytes()
        except FileNotFoundError:
            return None
        return found

    def state(self) -> State:
        """Where the exchange is. What is only half done counts as not done."""
        trusted, coming = self.trusted(), self.coming()
        if coming is not None:
            return State.TRUSTED if coming in trusted else State.STABLE
        return State.ISSUED if len(trusted) > 1 else State.STABLE

    def rotated_at(self) -> float:
        """When the key that signs was taken into use, seconds since the epoch."""
        return self._path(".key").stat().st_mtime

    # ----- steps

    def advance(
        self,
        phase: Phase,
        make: Callable[[AuthoritySpec], Pair] = issue.create_authority,
    ) -> bool:
        """Take a phase; False when it was taken before. OutOfOrder."""
        state = self.state()
        if NEXT[state] is phase:
            {Phase.TRUST: self._trust, Phase.ISSUE: self._issue, Phase.DROP: self._drop}[phase](make)
            return True
        if AFTER[phase] is state:
            return False
        raise OutOfOrder(f"{self.name}: {phase.value} does not follow now; next is {NEXT[state].value}")

    def _trust(self, make: Callable[[AuthoritySpec], Pair]) -> None:
        coming = self.coming()
        if coming is None:
            if self._spec:
                pair = make(self._spec)
                coming, key = certificates(pair.certificate)[0], pair.key
            else:
                key, coming = issue.service_account_pair()
            write(self._path(".key", coming=True), key, 0o600)
            write(self._path(self._suffix, coming=True), coming, 0o644)
        self._write_trusted([*self.trusted(), coming])

    def _issue(self, _: object) -> None:
        coming = self.coming()
        assert coming is not None, "a state of TRUSTED has one"
        others = [one for one in self.trusted() if one != coming]
        write(self._path(".key"), self._path(".key", coming=True).read_bytes(), 0o600)
        self._write_trusted([coming, *others])
        # The certificate goes first: a key alone is nothing that comes, and is overwritten next time.
        self._path(self._suffix, coming=True).unlink()
        self._path(".key", coming=True).unlink()

    def _drop(self, _: object) -> None:
        self._write_trusted(self.trusted()[:1])

    def _write_trusted(self, pems: list[bytes]) -> None:
        write(self._path(self._suffix), b"".join(pems), 0o644)


def split_public_keys(content: bytes) -> list[bytes]:
    """The public keys of a file, one PEM each."""
    return [
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        for key in jws.public_keys(content, "the file of token keys")
    ]


def too_early(exchange: Exchange, wait: datetime.timedelta, now: float | None = None) -> str | None:
    """Why the old token key cannot be dropped yet, or None: tokens that it signed may still be in use."""
    if exchange.name != TOKENS or exchange.state() is not State.ISSUED:
        return None
    since = datetime.timedelta(seconds=(now if now is not None else time.time()) - exchange.rotated_at())
    if since >= wait:
        return None
    left = wait - since
    return (
        f"tokens signed by the old key may be in use for another {_hours(left)}: agents fetch new ones within an "
        "hour, but a program that reads its token once keeps the old one. Drop the key later"
    )


def _hours(span: datetime.timedelta) -> str:
    minutes = max(1, int(span.total_seconds()) // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
