"""Speaking to a running unbound over its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

_VERSION = "UBCT1"
_END_OF_INPUT = "\x04\n"
_TIMEOUT_SECONDS = 30.0
_RELOAD_TRIES, _RELOAD_PAUSE_SECONDS = 100, 0.1


class ControlError(Exception):
    """unbound could not be reached, or did not do what it was told; the message is its own."""


class Control:
    """Commands to the unbound behind ``socket``. Methods raise ControlError."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def is_running(self) -> bool:
        """Whether unbound answers."""
        try:
            return (await self._send("status")).endswith("is running...\n")
        except ControlError:
            return False

    async def change(self, removed: Iterable[str], added: Iterable[str]) -> None:
        """Empty names, then add records."""
        if names := "".join(f"{name}\n" for name in removed):
            await self._expect(f"local_datas_remove\n{names}{_END_OF_INPUT}", "removed ")
        if lines := "".join(f"{record}\n" for record in added):
            await self._expect(f"local_datas\n{lines}{_END_OF_INPUT}", "added ")

    async def reload(self) -> None:
        """Read the configuration again, until unbound answers from it; it forgets its cache."""
        await self._expect("reload", "ok")
        for _ in range(_RELOAD_TRIES):
            await asyncio.sleep(_RELOAD_PAUSE_SECONDS)
            if await self.is_running():
                return
        raise ControlError("unbound does not answer after a reload")

    async def _expect(self, command: str, opening: str) -> None:
        answer = await self._send(command)
        if not answer.startswith(opening) or "error" in answer:
            raise ControlError(answer.strip() or "no answer")

    async def _send(self, command: str) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(f"{_VERSION} {command.rstrip(chr(10))}\n".encode())
                    await writer.drain()
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise ControlError(f"{self._socket}: {error!r}") from error
