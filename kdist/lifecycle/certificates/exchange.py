"""The operations on a running cluster's certificates: renewal, and the exchange of authorities phase by phase.

Each is a journal of playbook runs under the operator's lock. A run converges, so an interrupted one is done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kdist.lifecycle.operation.journal import Entry, Journal, JournalFile, Recorder, State
from kdist.lifecycle.operation.lock import Held
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.runner import Event, run_playbook
from kdist.lifecycle.operation.site import Site
from kdist.pki import plan
from kdist.pki.rotation import NAMES, TOKENS, Phase
from kdist.pki.rotation import State as Exchanged

PLAYBOOK = "playbooks/certificates.yml"
KDIST = "/opt/kdist/current/bin/kdist"
CERTIFICATE_AUTHORITIES = tuple(spec.name for spec in plan.AUTHORITIES)
# From every state the phase that led to it is run again first: it may not have reached every host.
LEFT = {
    Exchanged.STABLE: (Phase.TRUST, Phase.ISSUE, Phase.DROP),
    Exchanged.TRUSTED: (Phase.TRUST, Phase.ISSUE, Phase.DROP),
    Exchanged.ISSUED: (Phase.ISSUE, Phase.DROP),
}


class Refused(Exception):
    """The operation cannot be begun; the text says why and what to do."""


class NoKeeper(Exception):
    """No control plane that can be reached has the authorities; the text says why for each."""


async def states(site: Site) -> dict[str, Exchanged]:
    """Where the exchange of every authority is, told by the first control plane that has them. NoKeeper."""
    silent = []
    for name in site.control_planes:
        try:
            told = json.loads(await site.run(name, f"{KDIST} pki states"))
        except HostError as error:
            silent.append(str(error))
            continue
        return {authority: Exchanged(state) for authority, state in told.items()}
    raise NoKeeper("no control plane tells the state of its authorities:\n" + "\n".join(silent))


def phases_left(authorities: Sequence[str], now: Mapping[str, Exchanged]) -> list[Phase]:
    """The phases that lead these authorities on together. Refused when they are not at the same place."""
    places = {now[name] for name in authorities}
    if len(places) > 1:
        told = ", ".join(f"{name} is {now[name].value}" for name in authorities)
        raise Refused(f"{told}: finish one exchange first, with --authority NAME")
    phases = list(LEFT[places.pop()])
    if TOKENS in authorities and now[TOKENS] is not Exchanged.ISSUED:
        phases.remove(Phase.DROP)  # a day later at the earliest: tokens are in use
    return phases


def begin(authorities: Sequence[str], phases: Sequence[Phase]) -> Journal:
    """The journal of an exchange."""
    does = {
        Phase.TRUST: "every host trusts the old and the new authority",
        Phase.ISSUE: "every certificate is issued by the new authority",
        Phase.DROP: "the old authority is forgotten",
    }
    entries = [Entry(phase.value, does=does[phase]) for phase in phases]
    return Journal("rotate", entries, {"authorities": list(authorities)})


def unknown(authorities: Sequence[str]) -> list[str]:
    """Names that are no authorities."""
    return [name for name in authorities if name not in NAMES]


class Operation:
    """Journals and playbook runs of one operation. ``tell`` hears of steps, ``on_event`` of tasks."""

    def __init__(
        self,
        site: Site,
        held: Held,
        tell: Callable[[Entry], None] = lambda entry: None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._site, self._held, self._tell, self._on_event = site, held, tell, on_event

    async def exchange(self, journal: Journal, *, token_wait: int) -> None:
        """Do what is left of an exchange. Raises PlaybookFailed."""
        extra = {
            "certificates_authorities": journal.about["authorities"],
            "certificates_token_wait_seconds": token_wait,
        }
        await self._run(journal, lambda entry: extra | {"certificates_phase": entry.name})

    async def renew(self, journal: Journal) -> None:
        """Renew every certificate that is older than the operation. Raises PlaybookFailed."""
        extra = {"certificates_renew_issued_before": journal.began}
        await self._run(journal, lambda entry: extra)

    async def _run(self, journal: Journal, extra: Callable[[Entry], Mapping[str, object]]) -> None:
        recorder = Recorder(
            JournalFile(journal_path(self._site, journal.operation)), journal, tell=self._tell
        )
        await recorder.finish(State.RUNNING)
        try:
            for entry in recorder.left():
                async with recorder.step(entry.name):
                    await run_playbook(
                        self._site, PLAYBOOK, self._held, extra=extra(entry), on_event=self._on_event
                    )
        except BaseException as error:
            await recorder.finish(State.FAILED, str(error) or type(error).__name__)
            raise
        await recorder.finish(State.DONE)


def renewal() -> Journal:
    """The journal of a renewal; what was issued after now is kept."""
    return Journal("renew", [Entry("renew", does="every certificate is issued anew")], began=time.time())


def journal_path(site: Site, operation: str) -> Path:
    """Where an operation's journal lies."""
    return site.state / f"{operation}.json"


def unfinished(site: Site, operation: str) -> Journal | None:
    """The journal of an operation that was interrupted, None when there is none. JournalError."""
    found = JournalFile(journal_path(site, operation)).load()
    return found if found is not None and found.open else None
