"""A client that reads and writes without a pause until it is told to stop, and then says what failed.

Run as a program inside the lab's network: ``steady.py KUBECONFIG NAME``. Half of its requests come over connections
that stay open, half over new ones: both must live through a change of certificates. It follows its kubeconfig.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from kdist.api.errors import ApiError
from kdist.api.kinds import CONFIG_MAPS
from kdist.client.kubeconfig import KubeconfigError
from kdist.client.rest import Client, Unreachable

PAUSE_SECONDS = 0.05


class Tally:
    def __init__(self) -> None:
        self.done, self.longest = 0, 0.0
        self.errors: list[str] = []

    async def of(self, client: Client, name: str, count: int) -> None:
        """One write and one read, and that the read sees the write."""
        began = time.monotonic()
        try:
            await client.patch(CONFIG_MAPS, name, {"data": {"count": str(count)}}, "default")
            read = await client.get(CONFIG_MAPS, name, "default")
            if read["data"]["count"] != str(count):
                self.errors.append(f"{time.time():.1f} wrote {count}, read {read['data']['count']}")
        except (ApiError, Unreachable) as error:
            self.errors.append(f"{time.time():.1f} {type(error).__name__}: {error}")
        self.done += 1
        self.longest = max(self.longest, time.monotonic() - began)


async def main(kubeconfig: Path, name: str) -> Tally:
    tally, stop = Tally(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Client.from_kubeconfig(kubeconfig, user_agent="steady") as kept:
        for kind in ("kept", "fresh"):
            await kept.create(CONFIG_MAPS, {"metadata": {"name": f"{name}-{kind}"}, "data": {}}, "default")
        print("ready", flush=True)
        count = 0
        while not stop.is_set():
            count += 1
            await tally.of(kept, f"{name}-kept", count)
            try:
                async with Client.from_kubeconfig(kubeconfig, user_agent="steady") as fresh:
                    await tally.of(fresh, f"{name}-fresh", count)
            except KubeconfigError as error:
                tally.errors.append(f"{time.time():.1f} {error}")
            await asyncio.sleep(PAUSE_SECONDS)
        for kind in ("kept", "fresh"):
            await kept.delete(CONFIG_MAPS, f"{name}-{kind}", "default")
    return tally


if __name__ == "__main__":
    found = asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
    print(json.dumps({"done": found.done, "longest": round(found.longest, 2), "errors": found.errors}))
