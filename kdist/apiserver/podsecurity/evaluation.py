"""Judges a pod by a standard: every rule of the level and of those below it, in the order of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kdist.api.meta import Obj
from kdist.apiserver.podsecurity import baseline, restricted
from kdist.apiserver.podsecurity.policy import Standard
from kdist.apiserver.podsecurity.wording import Finding


class Rule(NamedTuple):
    """A rule with the minor version from which on it holds."""

    test: Callable[[Obj, int], Finding | None]
    since: int = 0
    # The baseline rule that says less, and is not asked where this one is.
    replaces: Callable[[Obj, int], Finding | None] | None = None


BASELINE: tuple[Rule, ...] = (
    Rule(baseline.apparmor),
    Rule(baseline.capabilities),
    Rule(baseline.host_namespaces),
    Rule(baseline.host_path_volumes),
    Rule(baseline.host_ports),
    Rule(baseline.privileged),
    Rule(baseline.proc_mount),
    Rule(baseline.selinux),
    Rule(baseline.seccomp),
    Rule(baseline.sysctls),
    Rule(baseline.windows_host_process),
)
RESTRICTED: tuple[Rule, ...] = (
    Rule(restricted.privilege_escalation, 8),
    Rule(restricted.capabilities, 22, baseline.capabilities),
    Rule(restricted.volumes, 0, baseline.host_path_volumes),
    Rule(restricted.run_as_non_root),
    Rule(restricted.run_as_user, 23),
    Rule(restricted.seccomp, 19, baseline.seccomp),
)


def evaluate(pod: Obj, standard: Standard) -> list[Finding]:
    """Everything that the standard does not allow the pod; empty when it may run."""
    if standard.level == "privileged":
        return []
    above = RESTRICTED if standard.level == "restricted" else ()
    above = tuple(rule for rule in above if rule.since <= standard.minor)
    replaced = {rule.replaces for rule in above}
    rules = [*(rule for rule in BASELINE if rule.test not in replaced), *above]
    return [found for rule in rules if (found := rule.test(pod, standard.minor)) is not None]


def told(findings: list[Finding]) -> str:
    """``reason (detail), reason (detail)``."""
    return ", ".join(map(str, findings))
