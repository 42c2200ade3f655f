"""What idle watches cost: memory of the server before and with N of them, and that it still answers.

``python tests/bench/idle_watches.py [--watches 1000]``; every watch has a TLS connection of its own.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import uvloop
from apiserver_process import server

WATCH = b"GET /api/v1/configmaps?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: x\r\n\r\n"
GET = b"GET /api/v1/namespaces/default HTTP/1.1\r\nHost: x\r\n\r\n"


async def connect(served, context):
    return await asyncio.open_connection("127.0.0.1", served.port, ssl=context, limit=4096)


async def ready(served, context):
    while True:
        reader, writer = await connect(served, context)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        if answer.startswith(b"HTTP/1.1 200"):
            return
        await asyncio.sleep(0.2)


async def measure(served, count):
    context = served.context("watcher")
    await ready(served, context)
    before = served.memory()
    connections, gate = [], asyncio.Semaphore(16)

    async def open_watch():
        async with gate:
            reader, writer = await connect(served, context)
            writer.write(WATCH)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            connections.append((reader, writer))

    begun = time.monotonic()
    await asyncio.gather(*(open_watch() for _ in range(count)))
    opened = time.monotonic() - begun
    await asyncio.sleep(1)
    cpu, memory = served.processor(), served.memory()
    await asyncio.sleep(5)
    rest = (served.processor() - cpu) / 5
    reader, writer = await connect(served, context)
    begun = time.monotonic()
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    answered = time.monotonic() - begun
    mebi = 1024 * 1024
    print(f"{count} watches opened in {opened:.1f} s")
    print(f"resident: {before / mebi:.0f} MiB before, {memory / mebi:.0f} MiB with them: "
          f"{(memory - before) / mebi:.1f} MiB, {(memory - before) / count / 1024:.1f} KiB each")  # fmt: skip
    print(f"at rest {rest * 100:.1f}% of a core; a GET takes {answered * 1000:.1f} ms")
    for _, writer in connections:
        writer.transport.abort()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--watches", type=int, default=1000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        server(Path(directory), {"watcher": ("people",)}) as served,
    ):
        uvloop.run(measure(served, options.watches))


if __name__ == "__main__":
    main()
