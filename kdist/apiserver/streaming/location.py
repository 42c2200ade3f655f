"""An endpoint to connect to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """An endpoint to connect to; ``context`` is None for plain HTTP."""

    host: str
    port: int
    context: ssl.SSLContext | None

    @property
    def origin(self) -> str:
        """``https://HOST:PORT``."""
        return f"{'https' if self.context else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """``HOST:PORT``, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
