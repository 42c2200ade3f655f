"""How long a cluster takes to be there, to be confirmed and to grow, on lab hosts of this machine: one Markdown table.

    scripts/bench lifecycle    # one control plane and two workers, a worker more; three control planes and two workers

Times begin at booted hosts. "To a running pod" ends when a pod that was asked for right after the install is Ready.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import Cluster, changes, only, run, write  # noqa: E402

IMAGE = "localhost/demo-web:0.1.0"
INSTALL_SECONDS = 900
SMALL, ADDED = {"cp1", "w1", "w2"}, "w3"


@dataclass(frozen=True)
class Figure:
    """A row of the table."""

    what: str
    figure: str
    goal: str


@contextmanager
def lab(name: str, net: str, hosts: int, control_planes: int) -> Iterator[Cluster]:
    """Booted hosts of a lab, gone afterwards; the inventory has all of them."""
    inventory = ROOT / "inventory" / f"lab-{name}"
    run(["kdist", "lab", "down", "--name", name])
    size = ["--hosts", str(hosts), "--control-planes", str(control_planes), "--subnet", f"{net}.0/24"]
    run(
        ["kdist", "lab", "up", "--name", name, *size, "--inventory", str(inventory / "hosts.yml")],
        timeout=400,
    )
    try:
        yield Cluster(inventory, name)
    finally:
        run(["kdist", "lab", "down", "--name", name])
        shutil.rmtree(inventory, ignore_errors=True)


def timed(work: Callable[[], str]) -> tuple[float, str]:
    """Seconds and answer."""
    began = time.monotonic()
    answer = work()
    return time.monotonic() - began, answer


def start_pod(cluster: Cluster, name: str) -> str:
    """Have a pod run."""
    cluster.kubectl("run", name, f"--image={IMAGE}")
    return cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s", timeout=130)


def installed(cluster: Cluster, what: str, goal: int) -> Iterator[Figure]:
    """Figures of an install, of the pod after it and of a second run."""
    seconds, recap = timed(lambda: cluster.playbook("site.yml", timeout=INSTALL_SECONDS))
    to_pod, _ = timed(lambda: start_pod(cluster, "first"))
    tasks = max(host["ok"] + host["skipped"] for host in changes(recap).values())
    done = max(host["ok"] for host in changes(recap).values())
    yield Figure(f"{what}, from booted hosts to a running pod", f"{seconds + to_pod:.1f} s", f"{goal} s")
    yield Figure(
        f"{what}, tasks of the busiest host: done, and skipped ones counted", f"{done}, {tasks}", "60"
    )
    again, recap = timed(lambda: cluster.playbook("site.yml", timeout=INSTALL_SECONDS))
    changed = sum(host["changed"] for host in changes(recap).values())
    yield Figure(f"{what}, a second run", f"{again:.1f} s, changed={changed}", "30 s, changed=0")


def grown(cluster: Cluster) -> Iterator[Figure]:
    """Figures of one more worker."""

    def join() -> str:
        cluster.playbook("site.yml", "--limit", ADDED, timeout=INSTALL_SECONDS)
        return cluster.kubectl(
            "wait", "--for=condition=Ready", f"node/{ADDED}", "--timeout=120s", timeout=130
        )

    seconds, _ = timed(join)
    yield Figure("one more worker for a running cluster, Ready", f"{seconds:.1f} s", "25 s")


def figures() -> Iterator[Figure]:
    with lab("life", "10.71.0", 4, 1) as cluster:
        everything = yaml.safe_load((cluster.inventory / "hosts.yml").read_text())
        write(cluster.inventory, only(everything, SMALL))
        yield from installed(cluster, "1 control plane and 2 workers", 45)
        write(cluster.inventory, everything)
        yield from grown(cluster)
    with lab("life", "10.71.0", 5, 3) as cluster:
        yield from installed(cluster, "3 control planes and 2 workers", 120)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    run(["kdist", "bundle", "build"], timeout=900)
    print("| What | Figure | Goal |\n|---|---|---|")
    for row in figures():
        print(f"| {row.what} | {row.figure} | {row.goal} |", flush=True)


if __name__ == "__main__":
    main()
