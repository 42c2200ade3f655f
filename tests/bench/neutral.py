"""Print what a load generator that knows neither server measures on ours, and upstream's beside it: one Markdown table.

usage: scripts/bench neutral --generator KBENCH [--upstream BINARY] [--seconds S] [--rounds N] [--only TEXT]

The generator is any program with kbench's flags (``-op get|create-cm|update-cm|create-pod|watch|setup``) that appends a
line of JSON to ``-o FILE``. Each server has TLS, client certificates and an etcd with fsync of its own, and holds 6,000
pods. Rows alternate between the servers; of the rounds of a row the one with the least foreign processor time counts.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serving
from serving import Server

SMALL, LARGE = 1000, 5000  # pods of the two namespaces that lists read
LISTERS = 8
SETUP_SECONDS = 600
ROW_SECONDS = 120


@dataclass(frozen=True)
class Row:
    """A test: its name, connections and what the generator is told. Watches count events instead of requests."""

    name: str
    connections: int
    arguments: tuple[str, ...]

    @property
    def events(self) -> bool:
        return "watch" in self.arguments


def rows() -> Iterator[Row]:
    """Every row of the table, in its order."""
    small, large = (f"/api/v1/namespaces/bench{count}/pods" for count in (SMALL, LARGE))

    def read(name: str, connections: int, path: str, *more: str) -> Row:
        return Row(name, connections, ("-op", "get", "-path", path, *more))

    for connections in (1, 8, 32):
        yield read("GET one pod", connections, f"{small}/pod-00500")
    for connections in (1, LISTERS):
        yield read(f"LIST {SMALL} pods", connections, small)
        yield read(f"LIST {SMALL} pods rv=0", connections, f"{small}?resourceVersion=0")
        yield read(f"LIST {SMALL} pods rv=0 gzip", connections, f"{small}?resourceVersion=0", "-gzip")
        yield read(f"LIST {LARGE} pods", connections, large)
        yield read(f"LIST {LARGE} pods rv=0", connections, f"{large}?resourceVersion=0")
    yield read(f"LIST {LARGE} pods limit=500", 1, f"{large}?limit=500")
    yield read(f"LIST {LARGE} pods labelSelector 2%", 1, f"{large}?labelSelector=app%3Dweb-7")
    for name, operation in (
        ("CREATE configmap 1 KiB", "create-cm"),
        ("PUT configmap 1 KiB", "update-cm"),
        ("CREATE pod", "create-pod"),
    ):
        for connections in (1, 8, 32):
            yield Row(name, connections, ("-op", operation, "-ns", operation))
    for watchers in (1, 50):
        watch = ("-op", "watch", "-w", str(watchers), "-ns", f"watch{watchers}")
        yield Row(f"WATCH x{watchers}, 8 writers flat out, events", 8, watch)
        yield Row(f"WATCH x{watchers}, 100 writes/s, events", 8, (*watch, "-rate", "100"))


class Generator:
    """The load generator, told of one server at a time."""

    def __init__(self, program: Path, certificates: Path, output: Path) -> None:
        self._program, self._certificates, self._output = program, certificates, output

    def _run(self, server: Server, arguments: list[str], timeout: float) -> None:
        at = self._certificates
        command = [
            str(self._program),
            "-server",
            f"https://127.0.0.1:{server.port}",
            "-cacert",
            f"{at}/ca.crt",
        ]
        command += ["-cert", f"{at}/admin.crt", "-key", f"{at}/admin.key", "-pid", f"server={server.pid}"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise SystemExit(f"{server.name}: {' '.join(arguments)}: {done.stderr.strip()}")

    def set_up(self, server: Server, pods: int) -> None:
        """A namespace with so many pods."""
        self._run(server, ["-op", "setup", "-ns", f"bench{pods}", "-n", str(pods), "-c", "8"], SETUP_SECONDS)

    def measure(self, server: Server, row: Row, seconds: float) -> dict[str, Any]:
        """What the generator says of one row."""
        self._output.unlink(missing_ok=True)
        load = ["-c", str(row.connections), "-d", f"{seconds}s", "-label", row.name, "-o", str(self._output)]
        self._run(server, [*row.arguments, *load], ROW_SECONDS)
        told: dict[str, Any] = json.loads(self._output.read_text())
        return told


@dataclass(frozen=True)
class Cell:
    """One row on one server: per second, milliseconds, processor seconds per 1000, foreign cores."""

    rate: float
    p50: float
    p99: float
    cpu: float
    errors: int
    foreign: float

    @classmethod
    def of(cls, told: dict[str, Any], events: bool) -> "Cell":
        rate, p50, p99 = (
            ("events_per_s", "event_p50_ms", "event_p99_ms") if events else ("rps", "p50_ms", "p99_ms")
        )
        cpu = told.get("cpu_s_per_1000_events" if events else "cpu_s_per_1000") or {}
        return cls(
            float(told.get(rate, 0)),
            float(told.get(p50, 0)),
            float(told.get(p99, 0)),
            float(cpu.get("server", 0)),
            int(told["errors"]),
            float(told["other_cpu_cores"]),
        )

    def told(self) -> list[str]:
        if not self.rate:
            return ["none finished", "", ""]
        failed = f", {self.errors} failed" if self.errors else ""
        return [f"{self.rate:,.0f}{failed}", f"{self.p50:.1f} / {self.p99:.1f}", f"{self.cpu:.3g}"]


def line(row: Row, cells: list[Cell]) -> str:
    """A row of the table; with two servers, ours to theirs."""
    columns = [row.name, str(row.connections), *(text for cell in cells for text in cell.told())]
    if len(cells) > 1:
        columns.append(f"{cells[0].rate / cells[1].rate:.2f}" if cells[1].rate else "")
    return f"| {' | '.join([*columns, f'{max(cell.foreign for cell in cells):.1f}'])} |"


def heading(servers: list[Server]) -> str:
    columns = ["test", "connections"]
    for server in servers:
        columns += [f"{server.name} /s", "p50 / p99 ms", "CPU s per 1000"]
    columns += ["rate, ours to theirs"] * (len(servers) > 1) + ["other CPU, cores"]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", type=Path, required=True)
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    serving.check_tools()
    with tempfile.TemporaryDirectory() as where:
        at = Path(where)
        serving.write_certificates(at / "certificates")
        servers = [serving.ours(asked.workers, at / "kdist", at / "certificates")]
        if asked.upstream:
            servers.append(serving.upstream(asked.upstream, at / "upstream", at / "certificates"))
        generator = Generator(asked.generator, at / "certificates", at / "row.json")
        try:
            for server in servers:
                await server.start()
                for pods in (SMALL, LARGE):
                    generator.set_up(server, pods)
                print(
                    f"{server.name} holds {SMALL + LARGE:,} pods: {server.resident_mib():.0f} MiB resident\n"
                )
            print(heading(servers), flush=True)
            for row in rows():
                if asked.only in row.name:
                    told = [
                        min(
                            (
                                Cell.of(generator.measure(server, row, asked.seconds), row.events)
                                for _ in range(asked.rounds)
                            ),
                            key=lambda cell: cell.foreign,
                        )
                        for server in servers
                    ]
                    print(line(row, told), flush=True)
                if row.connections == LISTERS and row.name == f"LIST {LARGE} pods rv=0":
                    listed = [f"{server.name} {server.resident_mib():.0f} MiB" for server in servers]
            print(f"\nResident after the LISTs by {LISTERS} connections: {', '.join(listed)}")
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    asyncio.run(main())
