"""Read the JSON reports of a conformance run; keep the list of what ever passed; say what was lost.

    python tests/conformance/report.py REPORT.json... [--list LIST] [--docs docs/conformance.md]

A test that is on the list and failed in this run is a regression: its name is printed and the exit code is 1.
Tests that passed for the first time are added to the list. A test that did not run says nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PASSED = HERE / "passed-1.32.txt"
DOCS = HERE.parents[1] / "docs" / "conformance.md"
FAILED_STATES = ("failed", "timedout", "panicked", "aborted")


def name_of(spec: dict) -> str:
    return " ".join([*(spec.get("ContainerHierarchyTexts") or ()), spec["LeafNodeText"]])


def verdicts(reports: Iterable[Path]) -> dict[str, bool]:
    """Test name to whether it passed, of the conformance tests that ran; later reports win."""
    found = {}
    for report in reports:
        for suite in json.loads(report.read_text()):
            for spec in suite.get("SpecReports") or ():
                name = name_of(spec)
                if spec["LeafNodeType"] != "It" or "[Conformance]" not in name:
                    continue
                if spec["State"] == "passed":
                    found[name] = True
                elif spec["State"] in FAILED_STATES:
                    found[name] = False
    return found


def names(reports: Iterable[Path]) -> set[str]:
    """Every conformance test that the suite has, whether or not it ran."""
    suites = [suite for report in reports for suite in json.loads(report.read_text())]
    specs = [
        spec for suite in suites for spec in suite.get("SpecReports") or () if spec["LeafNodeType"] == "It"
    ]
    return {name for name in map(name_of, specs) if "[Conformance]" in name}


def sig(name: str) -> str:
    match = re.match(r"\[(sig-[^\]]+)\]", name)
    return match[1] if match else "other"


def table(found: dict[str, bool]) -> str:
    passed = Counter(sig(name) for name, ok in found.items() if ok)
    failed = Counter(sig(name) for name, ok in found.items() if not ok)
    rows = [f"| {group} | {passed[group]} | {failed[group]} |" for group in sorted(passed | failed)]
    total = f"| **all** | **{passed.total()}** | **{failed.total()}** |"
    return "\n".join(["| SIG | passed | failed |", "|---|---|---|", *rows, total])


def standing(known: set[str], ever: set[str]) -> str:
    """How many tests of each SIG there are and have passed so far."""
    every = Counter(sig(name) for name in known | ever)
    passed = Counter(sig(name) for name in ever)
    rows = [f"| {group} | {every[group]} | {passed[group]} |" for group in sorted(every)]
    total = f"| **all** | **{every.total()}** | **{passed.total()}** |"
    return "\n".join(["| SIG | tests | passed so far |", "|---|---|---|", *rows, total])


def page(known: set[str], ever: set[str]) -> str:
    missing = sorted(known - ever)
    rest = "\n".join(f"- {name}" for name in missing) or "Nothing: every test of the suite has passed."
    return f"""# Conformance

Upstream's conformance suite of Kubernetes 1.32 against a kdist cluster of one control plane and two workers in the lab.
The names of the {len(ever)} tests that have passed are in
[tests/conformance/passed-1.32.txt](../tests/conformance/passed-1.32.txt); losing one is a failure:

    E2E=DIR scripts/conformance                # DIR holds e2e.test and ginkgo of 1.32, and its images as e2e.tar
    E2E=DIR scripts/conformance 'sig-node'     # tests whose name matches

    SERIAL=1 E2E=DIR scripts/conformance       # tests marked Serial or Disruptive, which run one at a time

{standing(known, ever)}

## Not passed yet

{rest}
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("--list", type=Path, default=PASSED)
    parser.add_argument("--docs", type=Path, help="write the page too")
    args = parser.parse_args()
    found = verdicts(args.reports)
    if not found:
        print("no conformance test ran", file=sys.stderr)
        return 2
    before = set(args.list.read_text().splitlines()) if args.list.exists() else set()
    ever = before | {name for name, ok in found.items() if ok}
    args.list.write_text("".join(f"{name}\n" for name in sorted(ever)))
    if args.docs:
        args.docs.write_text(page(names(args.reports), ever))
    print(table(found))
    lost = sorted(name for name in before if found.get(name) is False)
    for name in lost:
        print(f"passed before, fails now: {name}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
