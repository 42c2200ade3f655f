"""Beginning an operation: look at everything, refuse with all reasons at once, or give plan and journal."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdist import __version__
from kdist.api import meta
from kdist.api.errors import ApiError
from kdist.client.rest import Unreachable
from kdist.lifecycle.bundle import intake
from kdist.lifecycle.bundle.manifest import Manifest
from kdist.lifecycle.operation.api import Api
from kdist.lifecycle.operation.journal import ClusterCopy, Entry, Journal, JournalFile, newer
from kdist.lifecycle.operation.site import CHECKOUT, Site
from kdist.lifecycle.upgrade import addons, gates, observe, plan
from kdist.lifecycle.upgrade.gates import ClusterView
from kdist.lifecycle.upgrade.plan import HostNow, Plan, Target
from kdist.lifecycle.versions import Version, older

OPERATION = "upgrade"


class Refused(Exception):
    """The operation may not begin; every reason on a line of its own."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(dict.fromkeys(reasons)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What would be done, and what the journal needs to know besides. ``reasons``: why it may not be done now."""

    plan: Plan
    about: dict[str, Any]
    reasons: tuple[str, ...]

    def journal(self) -> Journal:
        """The journal of this plan. Raises Refused."""
        if self.reasons:
            raise Refused(self.reasons)
        entries = [Entry(step.name, step.host, step.text) for step in self.plan.steps]
        return Journal(OPERATION, entries, self.about)


def journal_file(site: Site) -> JournalFile:
    """The journal beside the inventory."""
    return JournalFile(site.state / f"{OPERATION}.json")


async def journal(site: Site, api: Api | None) -> Journal | None:
    """The newest journal that can be had. Raises JournalError."""
    here = journal_file(site).load()
    return newer(here, await ClusterCopy(api.client, OPERATION).load() if api else None)


def bundle_of(site: Site, given: Path | None) -> Path:
    """The bundle to upgrade to: the one given, or that of the inventory."""
    return (given.absolute() if given else site.bundle).absolute()


def _bundle(site: Site, directory: Path) -> tuple[Manifest | None, list[str]]:
    taken = intake.take(directory, site.spec.settings.bundle_key, site.directory)
    found, reasons = taken.manifest, list(taken.faults)
    if found and older(__version__, found.checkout):
        reasons.append(
            f"this checkout is kdist {__version__}, the bundle was made by {found.checkout}: "
            f"use a checkout of {found.checkout} or later"
        )
    return found, reasons


async def upgrade(site: Site, api: Api | None, bundle: Path, max_unavailable: str) -> Prepared:
    """Plan an upgrade to a bundle. ``api`` None: it does not answer, which is a reason like others."""
    (found, reasons), hosts = await asyncio.gather(
        asyncio.to_thread(_bundle, site, bundle), observe.hosts(site)
    )
    view, told = await _view(site, api)
    workers = len(site.names) - len(site.control_planes)
    limit = plan.budget(max_unavailable, workers)
    reasons += told + gates.before(hosts, view, at=_now(), vip=site.spec.settings.api_vip is not None)
    now = [gates.now(host, view) for host in hosts]
    if found is None or any(not host.release for host in now):
        return Prepared(Plan((), ()), {}, tuple(reasons))
    to = Target(found.version, site.spec.settings.api_level)
    reasons += plan.problems(now, to)
    steps = plan.plan(now, to, max_unavailable=limit)
    if not steps.steps:
        reasons.append(f"every host runs {to} already")
    about = _about(steps, now, to, view, "upgrade", bundle)
    return Prepared(steps, about, tuple(reasons))


async def rollback(site: Site, api: Api | None, last: Journal | None, max_unavailable: str) -> Prepared:
    """Plan the way back from the upgrade in a journal, finished or not."""
    if last is None or last.about["direction"] != "upgrade":
        told = (
            "there is no upgrade to go back from"
            if last is None
            else "the last operation was a rollback already"
        )
        return Prepared(Plan((), ()), {}, (told,))
    hosts = await observe.hosts(site)
    view, reasons = await _view(site, api)
    now = [gates.now(host, view) for host in hosts]
    before = {name: Target(**told) for name, told in last.about["from"].items()}
    back = min(before.values(), key=lambda target: Version.parse(target.version))
    reasons += [f"{host.name}: {host.error}" for host in hosts if host.error]
    for host in hosts:
        if not host.error and host.release != back.version and back.version not in host.kept:
            reasons.append(f"{host.name}: has kept nothing of {back.version}; it cannot go back by itself")
        elif not host.error and back.version not in host.releases:
            reasons.append(f"{host.name}: /opt/kdist/{back.version} is gone; it cannot go back by itself")
    limit = plan.budget(max_unavailable, len(site.names) - len(site.control_planes))
    steps = plan.rollback(now, back, max_unavailable=limit)
    reasons += nothing_to_undo(steps, last, back)
    about = _about(steps, now, back, view, "rollback", Path(last.about["bundle"]))
    # What was whole before the upgrade counts, and its add-ons: not what a failed upgrade has left.
    about |= {"whole": last.about["whole"], "addons": last.about["addons"]}
    return Prepared(steps, about, tuple(reasons))


def nothing_to_undo(steps: Plan, last: Journal, back: Target) -> list[str]:
    """Why there is nothing to go back from. An upgrade that stopped before it changed a host can be given up. Pure."""
    return [] if steps.waves or last.open else [f"every host runs {back} already"]


async def _view(site: Site, api: Api | None) -> tuple[ClusterView, list[str]]:
    if api is not None:
        try:
            return await observe.cluster(site, api), []
        except (ApiError, Unreachable) as error:
            return ClusterView({}, {}), [f"no API server answers: {error}"]
    return ClusterView({}, {}), ["no API server can be reached"]


def _about(
    steps: Plan, now: Sequence[HostNow], to: Target, view: ClusterView, direction: str, bundle: Path
) -> dict[str, Any]:
    lacking = gates.broken(view.workloads)
    names = [f"{item['kind']} {meta.key(item)}" for item in view.workloads]
    return {
        "direction": direction,
        "bundle": str(bundle),
        "checkout": str(CHECKOUT),
        "to": asdict(to),
        "from": {
            host.name: {
                "version": host.release,
                "api_level": host.agent.api_level if host.agent else to.api_level,
            }
            for host in now
        },
        "waves": [list(wave) for wave in steps.waves],
        "whole": [name for name in names if name not in lacking],
        "addons": addons.templates(view.workloads),
    }


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
