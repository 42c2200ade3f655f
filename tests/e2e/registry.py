"""A registry for tests: serves the images of an OCI layout under any repository that ends with their name.

usage: registry.py DIRECTORY ADDRESS PORT. Reads only, over plain HTTP, as much of the distribution protocol as a pull
needs: a manifest by tag or digest, a blob by digest.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATH = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of manifests and blobs."""

    protocol_version = "HTTP/1.1"
    images: Path

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        asked = PATH.fullmatch(self.path.partition("?")[0])
        digest = self._digest(asked) if asked else None
        path = self.images / "blobs" / digest.replace(":", "/") if digest else None
        if asked is None or digest is None or path is None or not path.exists():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        kind = MANIFEST if asked["kind"] == "manifests" else "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if body:
            with path.open("rb") as file:
                self.connection.sendfile(file)

    def _digest(self, asked: re.Match[str]) -> str | None:
        """The digest of what is asked for; None when there is no such image."""
        if asked["reference"].startswith("sha256:"):
            return asked["reference"]
        wanted = f"/{asked['repository'].rpartition('/')[2]}:{asked['reference']}"
        index = json.loads((self.images / "index.json").read_text())["manifests"]
        names = {entry["annotations"]["io.containerd.image.name"]: entry["digest"] for entry in index}
        return next((digest for name, digest in names.items() if name.endswith(wanted)), None)


def main() -> None:
    Handler.images = Path(sys.argv[1])
    server = ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Handler)
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
