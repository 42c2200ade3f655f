"""An endpoint to connect to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """An endpoint to connect to; ``context`` is None for plain HTTP.

    ``server_name`` is the name that its certificate must have, where that is not the host.
    """

    host: str
    port: int
    context: ssl.SSLContext | None
    server_name: str = ""

    @property
    def origin(self) -> str:
        """``https://HOST:PORT``."""
        return f"{'https' if self.context else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """``HOST:PORT``, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
