"""Print what the service proxy's rules cost: SERVICES Services with 3 endpoints from scratch, and one change.

usage: python tests/bench/proxy.py [SERVICES]     as root; runs in a network namespace of its own
"""

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from kdist.proxy.family import IPV4
from kdist.proxy.nft import LibNftables
from kdist.proxy.rules import Rules

ENDPOINTS = 3
CHANGES = 200


def service(number: int) -> dict[str, Any]:
    ip = f"10.{96 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    spec = {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"metadata": {"name": f"s{number}", "namespace": "bench"}, "spec": spec}


def slices(number: int, count: int = ENDPOINTS, generation: int = 0) -> list[dict[str, Any]]:
    endpoints = [
        {
            "addresses": [f"10.244.{n + 4 * (generation % 50)}.{number % 250 + 1}"],
            "nodeName": "here" if n == 0 else "other",
        }
        for n in range(count)
    ]
    ports = [{"name": "", "port": 8080, "protocol": "TCP"}]
    return [{"addressType": "IPv4", "ports": ports, "endpoints": endpoints}]


def resident_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main(count: int) -> None:
    rules = Rules(LibNftables(), IPV4, "here", ["10.244.0.0/16"])
    started = time.perf_counter()
    for number in range(count):
        rules.plan(f"bench/s{number}", service(number), slices(number))
    planned = time.perf_counter()
    rules.rewrite()
    written = time.perf_counter()
    print(
        f"{count} services x {ENDPOINTS} endpoints: plan {planned - started:.3f} s, write {written - planned:.3f} s"
    )
    print(f"resident {resident_mib('VmRSS:'):.0f} MiB, peak {resident_mib('VmHWM:'):.0f} MiB")
    rules.apply()
    for what, fewer in (("an endpoint goes or comes", 1), ("every endpoint is replaced", 0)):
        times = []
        for number in range(CHANGES):
            begin = time.perf_counter()
            target = number // 2 % count
            generation = 0 if fewer else number + 1
            rules.plan(
                f"bench/s{target}",
                service(target),
                slices(target, ENDPOINTS - fewer * ((number + 1) % 2), generation),
            )
            rules.apply()
            times.append((time.perf_counter() - begin) * 1000)
        times.sort()
        print(
            f"one change ({what}): p50 {statistics.median(times):.2f} ms, p99 {times[int(CHANGES * 0.99)]:.2f} ms"
        )


if __name__ == "__main__":
    if "KDIST_BENCH_NAMESPACE" not in os.environ:
        os.environ["KDIST_BENCH_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
