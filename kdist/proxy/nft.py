"""Running nftables commands in process: the few functions of libnftables that the proxy needs, by ctypes.

One context lives as long as the proxy: making one costs more than a small transaction. A context is not
thread-safe, but may be used from any one thread at a time; calls release the interpreter lock.

Listing anything makes the library read the whole table, elements included (0.4 s with 10,000 Services), and
read it again before the next change; so nothing is listed in normal operation.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any, Protocol

_LIBRARY = "libnftables.so.1"
_OUTPUT_JSON = 1 << 4
_LARGE = 1 << 18


class NftError(Exception):
    """libnftables refused a transaction; nothing of it took effect. The message is its own."""


class Nft(Protocol):
    """What the proxy needs of nftables."""

    def run(self, commands: str) -> None:
        """Apply ``commands`` as one transaction. Raises NftError."""

    def elements(self, family: str, table: str, name: str) -> list[Any]:
        """The elements of a map as libnftables-json has them. Raises NftError when there is no such map."""

    def close(self) -> None:
        """Release what it holds; it cannot be used afterwards."""


class LibNftables:
    """:class:`Nft` by libnftables. OSError when the library is not installed."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library, self._malloc_trim = library, ctypes.CDLL("libc.so.6").malloc_trim
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        """Free the context."""
        self._library.nft_ctx_free(self._context)

    def _call(self, commands: str, flags: int = 0) -> str:
        self._library.nft_ctx_output_set_flags(self._context, flags)
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        # Reading a buffer also empties it: both must be read each time.
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        error: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise NftError(_shorten(error.decode(errors="replace")))
        return output.decode()

    def run(self, commands: str) -> None:
        """Apply ``commands`` as one transaction. Raises NftError."""
        self._call(commands)
        if len(commands) > _LARGE:
            # The library needs forty times the text for a moment, which malloc would keep for good.
            self._malloc_trim(0)

    def elements(self, family: str, table: str, name: str) -> list[Any]:
        """The elements of a map as libnftables-json has them. Raises NftError when there is no such map."""
        listed = json.loads(self._call(f"list map {family} {table} {name}", _OUTPUT_JSON))
        return [element for entry in listed["nftables"] for element in entry.get("map", {}).get("elem", ())]


def _shorten(text: str, limit: int = 1000) -> str:
    """Messages quote the offending command, which may be megabytes long."""
    lines = [line if len(line) <= limit else line[:limit] + "..." for line in text.strip().splitlines()]
    return "\n".join(lines[:6])
