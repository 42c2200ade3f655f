"""Does a flood by one client slow another one? Prints a victim's latencies without and with a flood.

Both users are in the same priority level (global-default), which is the worst case. The server runs in this process
and its clients call it as an ASGI application, so that latencies can be given in processor time: how much work for
others is done before the victim has its answer. Wall-clock time follows for a machine that does nothing else.

``python tests/bench/fairness.py [--clients 64] [--objects 300] [--flood list|get] [--requests 100]``
"""

import argparse
import asyncio
import time

import orjson
import uvloop

from kdist.apiserver.authn.user import AUTHENTICATED, MASTERS, User
from kdist.apiserver.lifecycle import ApiServer
from kdist.config.apiserver import ApiServerSettings
from kdist.telemetry import log

PATH = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"  # what kubectl get asks for
PAUSE = 0.01  # seconds between the victim's requests
ADMIN = User("admin", groups=(MASTERS, AUTHENTICATED))
VICTIM, FLOODER = (User(name, groups=("people", AUTHENTICATED)) for name in ("victim", "flooder"))


class Anybody:
    """Believes the scope."""

    async def authenticate(self, scope, headers=None):
        return scope["user"]


class Client:
    """Calls the application as one user."""

    def __init__(self, app, user, accept="application/json"):
        self.app, self.user, self.accept = app, user, accept

    async def __call__(self, method, path, body=b""):
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"accept", self.accept.encode()), (b"content-type", b"application/json")],
            "user": self.user,
            "state": {},
            "extensions": {},
        }
        status = 0

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            nonlocal status
            status = message.get("status", status)
            await asyncio.sleep(0)  # as a socket lets others go on

        await self.app(scope, receive, send)
        return status


async def victim(client, requests):
    processor, wall = [], []
    for _ in range(requests):
        begun, cpu = time.monotonic(), time.process_time()
        assert await client("GET", f"{PATH}/c1") == 200
        processor.append(time.process_time() - cpu)
        wall.append(time.monotonic() - begun)
        await asyncio.sleep(PAUSE)
    return sorted(processor), sorted(wall)


def told(title, measured, flooded):
    parts = []
    for took in measured:
        parts.append(" ".join(f"{took[int(part * (len(took) - 1))] * 1000:8.2f}" for part in (0.5, 0.9, 1.0)))
    print(f"{title:26} {parts[0]} {parts[1]} {flooded:9}", flush=True)


async def measure(title, options, settings):
    server = ApiServer(settings)
    server.core.authenticator = Anybody()
    await server.start()
    admin = Client(server.app, ADMIN)
    for number in range(options.objects):
        body = {"metadata": {"name": f"c{number}"}, "data": {"a": "b" * 100}}
        assert await admin("POST", PATH, orjson.dumps(body)) == 201
    client = Client(server.app, VICTIM)
    await victim(client, 20)
    told(f"{title}, quiet", await victim(client, options.requests), 0)
    flooder = Client(server.app, FLOODER, TABLE if options.flood == "list" else "application/json")
    path = PATH if options.flood == "list" else f"{PATH}/c2"
    stop, served = asyncio.Event(), 0

    async def flood():
        nonlocal served
        while not stop.is_set():
            await flooder("GET", path)
            served += 1

    floods = [asyncio.create_task(flood()) for _ in range(options.clients)]
    await asyncio.sleep(1)
    served = 0
    told(f"{title}, {options.flood} flood", await victim(client, options.requests), served)
    stop.set()
    await asyncio.gather(*floods)
    await server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--flood", choices=("list", "get"), default="list")
    options = parser.parse_args()
    log.setup("error")
    print(f"{'milliseconds':26} {'processor time':^26} {'wall-clock time':^26}   flood's")
    print(f"{'until the victim is served':26}" + f"{'p50':>9}{'p90':>9}{'max':>9}" * 2 + "   answers")
    off = {
        "enable_priority_and_fairness": False,
        "max_requests_inflight": 0,
        "max_mutating_requests_inflight": 0,
    }
    for title, flags in (("fairness on", {}), ("fairness off", off)):
        settings = ApiServerSettings(
            storage="memory", bind_address="127.0.0.1", secure_port=0, shutdown_grace=0.1,
            authorization_mode=("AlwaysAllow",), **flags,
        )  # fmt: skip
        uvloop.run(measure(title, options, settings))


if __name__ == "__main__":
    main()
