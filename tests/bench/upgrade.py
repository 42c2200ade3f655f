"""A rolling upgrade of three control planes and two workers under load, and what a client noticed of it.

    scripts/bench upgrade            # makes its own lab, prints Markdown, takes the lab down

20 writes and 20 reads a second go to the virtual address, 50 requests a second to a web service of three replicas at
node ports in turn; nothing is repeated. API failures are put down to the control plane that left last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.upgrade_figures import Figures, figures  # noqa: E402
from tests.e2e.conftest import Cluster, run  # noqa: E402
from tests.e2e.upgrading import OLD, OLD_LEVEL, Upgrading, build_bundles, load, lost_writes  # noqa: E402
from tests.nightly.test_upgrade_many import INVENTORY, NAME, budget, made  # noqa: E402

OLD_VERSION = f"v{OLD_LEVEL}.0+kdist.{OLD}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    parser.add_argument(
        "--reuse", action="store_true", help="the lab that --keep left, taken back to the old version"
    )
    parser.add_argument("--max-unavailable", default="1", help="workers away at once")
    given = parser.parse_args()
    if not given.reuse:
        build_bundles()
    cluster = Cluster(INVENTORY, NAME) if given.reuse else made()
    upgrading, seen = Upgrading(cluster), dict[str, Any]()
    budget(cluster, 2)
    if given.reuse and (set(upgrading.versions().values()) != {OLD_VERSION} or upgrading.unfinished()):
        upgrading("rollback", timeout=1800)
    urls = [f"http://10.91.0.{number}:30081/" for number in range(11, 16)]
    with load(cluster, seen, *urls, rate=20):
        time.sleep(5)
        began = time.monotonic()
        upgrading("apply", "--max-unavailable", given.max_unavailable, timeout=1800)
        took = time.monotonic() - began
        time.sleep(5)
    (INVENTORY / ".kdist" / "load.json").write_text(json.dumps(seen))
    show(figures(upgrading.journal(), seen, lost_writes(cluster, seen), took))
    if not given.keep:
        run(["kdist", "lab", "down", "--name", NAME])


def show(found: Figures) -> None:
    """A Markdown table, goals beside figures."""
    print("| Rolling upgrade, 3 control planes and 2 workers, 20 writes/s and 20 reads/s | Goal | Figure |")
    print("|---|---|---|")
    for what, goal, figure in found.rows():
        print(f"| {what} | {goal} | {figure} |")
    for line in found.remarks():
        print(line)


if __name__ == "__main__":
    main()
