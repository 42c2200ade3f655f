"""One certificate of this node, for as long as the agent runs: there, valid, and renewed in time.

The file holds certificate and key and is replaced atomically; whoever uses it is told by ``adopt`` and goes on
without a break. :meth:`Keeper.poke` makes it look at the file anew, which somebody may have exchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from kdist.agent.certificates import plan, x509
from kdist.agent.certificates.plan import Found, Wanted
from kdist.agent.certificates.requests import NotIssued
from kdist.api.errors import ApiError
from kdist.client.kubeconfig import KubeconfigError
from kdist.client.rest import Unreachable
from kdist.pki.disk import write
from kdist.pki.following import Stamp, stamp
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
RETRY_SECONDS, LONGEST_RETRY = 0.5, 30.0
# How often it looks whether its files have changed.
LOOK_SECONDS = 10.0
# One that is there at the start is used at once and judged when the start is over: to judge it costs a process.
SETTLE_SECONDS = 10.0
# A certificate that could not be taken into use, or that did not help, is tried again.
AGAIN_SECONDS = 5.0

# Asks for a certificate with its key; the argument is what is there and still serves, or None.
Ask = Callable[[Found | None], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Places:
    """Files. ``authorities``: the bundle whose first one issues certificates now; None: nobody looks at that.
    ``asked``: holds the moment before which everything is to be renewed."""

    directory: Path
    authorities: Path | None = None

    @property
    def asked(self) -> Path:
        """See above."""
        return self.directory / "renew-issued-before"


class Keeper:
    """Keeps ``NAME-current.pem``.

    ``adopt`` is called with the file at the start, if there is one, and after each change; ``proven`` once what is in
    it is known to serve.
    """

    def __init__(
        self,
        wanted: Wanted,
        places: Places,
        ask: Ask,
        adopt: Callable[[Path], None],
        proven: Callable[[], None] = lambda: None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self.wanted = wanted
        self.file = places.directory / f"{wanted.name}-current.pem"
        self.found: Found | None = None
        self._places = places
        self._ask, self._adopt, self._proven = ask, adopt, proven
        self._settle_seconds = settle_seconds
        self._adopted: bytes | None = None
        self._chance = random.random()
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Look at the files now."""
        self._poked.set()

    async def run(self) -> None:
        """Keep it until cancelled."""
        if self.file.exists():
            self._take(self.file.read_bytes())
            await self._poke_within(self._settle_seconds)
        while True:
            self._poked.clear()
            seen = self._stamps()
            self.found = await self._look()
            if self.found is None:
                await self._renew()
            elif self._is_due(self.found):
                await self._renew()
                await asyncio.sleep(AGAIN_SECONDS)  # whoever issues them may not have followed yet
            else:
                await self._until_changed(seen, self.found)

    def _is_due(self, found: Found) -> bool:
        if reason := plan.stale(found, _moment(self._places.asked)):
            log.info("certificate is renewed early", name=self.wanted.name, reason=reason)
            return True
        return time.time() >= plan.renewal(found, self._chance)

    async def _until_changed(self, seen: list[Stamp], found: Found) -> None:
        """Return when a file has changed, the certificate is due, or somebody poked."""
        while self._stamps() == seen and not self._poked.is_set():
            left = plan.renewal(found, self._chance) - time.time()
            if left <= 0 or self._adopted is None:
                await asyncio.sleep(0 if left <= 0 else AGAIN_SECONDS)
                return
            await self._poke_within(min(left, LOOK_SECONDS))

    async def _poke_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._poked.wait()

    def _stamps(self) -> list[Stamp]:
        watched = (self.file, self._places.authorities, self._places.asked)
        return [stamp(path) for path in watched if path is not None]

    async def _look(self) -> Found | None:
        """What is in the file when it serves; whoever uses it is told when it is new."""
        authorities = self._places.authorities
        try:
            pem = self.file.read_bytes()
            found = await x509.read(pem, authorities.read_bytes() if authorities else b"")
        except FileNotFoundError:
            return None
        except (x509.Unusable, OSError) as error:
            log.warning("certificate cannot be used", file=str(self.file), error=str(error))
            return None
        if reason := plan.fault(self.wanted, found, time.time()):
            log.warning("certificate does not serve", file=str(self.file), reason=reason)
            return None
        self._take(pem)
        self._proven()
        return found

    def _take(self, pem: bytes) -> None:
        if pem == self._adopted:
            return
        try:
            self._adopt(self.file)
            self._adopted = pem
        except (KubeconfigError, OSError) as error:
            log.warning("certificate cannot be taken into use", file=str(self.file), error=error)

    async def _renew(self) -> None:
        pause, told = RETRY_SECONDS, ""
        while True:
            try:
                pem = await self._ask(self.found)
                await x509.read(pem)  # certificate and key belong together, or the old one stays
                await asyncio.to_thread(write, self.file, pem, 0o600)
                log.info("certificate issued", name=self.wanted.name, renewed=self.found is not None)
                self._chance = random.random()
                return
            except (ApiError, Unreachable, NotIssued, KubeconfigError, x509.Unusable, OSError) as error:
                if str(error) != told:
                    log.warning("no certificate yet", name=self.wanted.name, error=error)
                told = str(error)
            if self._poked.is_set() or (self.found and time.time() >= self.found.not_after):
                return  # something may have changed: begin with a look
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_RETRY if self.found else 2.0)


def _moment(file: Path) -> float:
    """The moment in a file; long ago when there is none, or none that can be read."""
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return 0.0
