"""Exchanging the key of encryption at rest of a running cluster: four steps, journalled, each repeatable.

add (every server reads the new key) - promote (every server writes with it) - rewrite (nothing is left that the old one
wrote) - remove (the old one is forgotten). No server ever meets a value that it cannot read.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence

from kdist.lifecycle.operation.journal import Entry, Journal, JournalFile, Recorder, State
from kdist.lifecycle.operation.lock import Held
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.runner import Event, run_playbook
from kdist.lifecycle.operation.site import Site

OPERATION = "encryption-rotate"
PLAYBOOK = "playbooks/encryption.yml"
KDIST = "/opt/kdist/current/bin/kdist"
FILE = "/etc/kubernetes/pki/encryption.yaml"
# How far the rewriting is, on the host that does it.
PROGRESS = "/var/lib/kdist/encryption-rewrite.json"
REWRITE_SECONDS = 6 * 3600.0
STEPS = {
    "add": "every API server reads the new key",
    "promote": "every API server writes with the new key",
    "rewrite": "everything that is stored is encrypted with the new key",
    "remove": "the old key is forgotten",
}


class Refused(Exception):
    """The exchange cannot be begun; the text says why and what to do."""


def path(site: Site) -> JournalFile:
    """The journal of this site."""
    return JournalFile(site.state / f"{OPERATION}.json")


def begin(resources: Sequence[str], stage: str) -> Journal:
    """A new journal. ``stage`` tells what another operator's exchange has done already. Refused."""
    if wide := [name for name in resources if "*" in name]:
        raise Refused(
            f"kdist_encrypted_resources has {', '.join(wide)}: name what is to be rewritten, with --resources"
        )
    if not resources:
        raise Refused("kdist_encrypted_resources is empty: nothing is encrypted")
    entries = [Entry(name, does=does) for name, does in STEPS.items()]
    # The step that led here is taken again: it may not have reached every server.
    del entries[: {"stable": 0, "added": 0, "promoted": 1}[stage]]
    return Journal(OPERATION, entries, {"resources": list(resources)})


async def stage(site: Site) -> str:
    """Where the keys are, told by the first control plane that answers. HostError."""
    last: HostError | None = None
    for name in site.control_planes:
        try:
            return str(json.loads(await site.run(name, f"{KDIST} encryption stage --file {FILE}")))
        except HostError as error:
            last = last or error
    assert last is not None, "a site has control planes"
    raise last


async def run(
    site: Site,
    held: Held,
    journal: Journal,
    tell: Callable[[Entry], None] = lambda entry: None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> None:
    """Do what is left. Raises PlaybookFailed and HostError."""
    recorder = Recorder(path(site), journal, tell=tell)
    await recorder.finish(State.RUNNING)
    try:
        for entry in recorder.left():
            async with recorder.step(entry.name):
                if entry.name == "rewrite":
                    entry.detail = await _rewrite(site, journal.about["resources"])
                else:
                    extra = {"encryption_step": entry.name}
                    await run_playbook(site, PLAYBOOK, held, extra=extra, on_event=on_event)
    except BaseException as error:
        await recorder.finish(State.FAILED, str(error) or type(error).__name__)
        raise
    await recorder.finish(State.DONE)


async def _rewrite(site: Site, resources: Sequence[str]) -> str:
    """On a control plane: its objects and its progress stay there. What it said last."""
    names = shlex.quote(",".join(resources))
    command = f"{KDIST} encryption rewrite --resources {names} --journal {PROGRESS}"
    said = await site.run(site.control_planes[0], command, timeout=REWRITE_SECONDS)
    return "; ".join(said.strip().splitlines()[-2:])
