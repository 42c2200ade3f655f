"""A client that writes without pause and says what it was told: ``python -m tests.nightly.writer``, one JSON a line.

It knows nothing of kdist: HTTPS with a client certificate, several servers, the next one when one fails.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

PATH = "/api/v1/namespaces/default/configmaps"


class Servers:
    """One connection at a time."""

    def __init__(self, kubeconfig: Path, addresses: list[str]) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        user, cluster = document["users"][0]["user"], document["clusters"][0]["cluster"]
        self._context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        self._context.check_hostname = False
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            self._context.load_cert_chain(pair.name)
        self._turn = itertools.cycle(addresses)
        self._connection: http.client.HTTPSConnection | None = None

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer; status 0 when there was none, so that nobody knows what happened."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    next(self._turn), 6443, timeout=5, context=self._context
                )
            headers = {"Content-Type": "application/json"}
            self._connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            time.sleep(0.2)
            return 0, None


def outcome(status: int) -> str:
    if 200 <= status < 300:
        return "ok"
    return "refused" if 400 <= status < 500 else "unknown"


def body(client: str, name: str, value: str, version: str | None = None) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"writer": client}}
    return {
        "metadata": metadata | ({"resourceVersion": version} if version else {}),
        "data": {"value": value},
    }


def main(client: str, kubeconfig: str, addresses: str, seconds: str) -> None:
    servers = Servers(Path(kubeconfig), addresses.split(","))
    end = time.monotonic() + float(seconds)
    counter = f"{client}-counter"

    def tell(kind: str, name: str, value: str, status: int) -> None:
        told = {"client": client, "kind": kind, "name": name, "value": value, "outcome": outcome(status)}
        print(json.dumps(told | {"at": time.time()}), flush=True)

    for number in itertools.count(1):
        if time.monotonic() > end:
            return
        name = f"{client}-{number}"
        status, _ = servers.request("POST", PATH, body(client, name, str(number)))
        tell("create", name, str(number), status)
        status, there = servers.request("GET", f"{PATH}/{counter}")
        if status == 404:
            status, _ = servers.request("POST", PATH, body(client, counter, "1"))
            tell("count", counter, "1", status)
        elif status == 200:
            value = str(int(there["data"]["value"]) + 1)
            version = there["metadata"]["resourceVersion"]
            status, _ = servers.request("PUT", f"{PATH}/{counter}", body(client, counter, value, version))
            tell("count", counter, value, status)


if __name__ == "__main__":
    main(*sys.argv[1:5])
