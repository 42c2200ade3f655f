"""Network namespaces for tests: a node with a pod bridge, pods and an outside client, made and removed as root.

Every namespace has one thread that lives in it; :meth:`Namespace.call` runs a function there, and the sockets it
makes stay there.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_CLONE_NEWNET = 0x40000000


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespace:
    def __init__(self, name: str) -> None:
        self.name = name
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=self._enter)

    def _enter(self) -> None:
        handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(handle)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._thread.submit(function, *arguments).result(timeout=30)

    def remove(self) -> None:
        self._thread.shutdown()
        ip("netns", "del", self.name)

    def set_sysctl(self, name: str, value: str) -> None:
        self.call(Path("/proc/sys/net", name).write_text, value)

    def serve(self, port: int, kind: int = socket.SOCK_STREAM, address: str = "0.0.0.0") -> None:
        """Answer with this namespace's name and the peer's address."""
        listener = self.call(self._listen, port, kind, address)
        loop = self._accept if kind == socket.SOCK_STREAM else self._echo
        threading.Thread(target=loop, args=(listener,), daemon=True).start()

    def _listen(self, port: int, kind: int, address: str) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in address:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        if kind == socket.SOCK_STREAM:
            listener.listen(64)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, peer = listener.accept()
            with connection:
                connection.sendall(f"{self.name.rpartition('-')[2]} {peer[0]}".encode())

    def _echo(self, listener: socket.socket) -> None:
        while True:
            _, peer = listener.recvfrom(100)
            listener.sendto(f"{self.name.rpartition('-')[2]} {peer[0]}".encode(), peer)

    def ask(self, address: str, port: int) -> tuple[str, str]:
        """(who answered, the client address it saw). OSError when refused, TimeoutError when dropped."""
        return self.call(_ask, address, port)


def _ask(address: str, port: int) -> tuple[str, str]:
    with socket.create_connection((address, port), timeout=1) as connection:
        who, _, seen = connection.recv(100).decode().partition(" ")
    return who, seen


class Site:
    """client 10.9.0.2 -- 10.9.0.1 node 10.244.1.1 -- cni0 -- pods a 10.244.1.2, b 10.244.1.3

    In IPv6: client fd00:9::2, node fd00:9::1 and fd00:244::1, pods fd00:244::2 and fd00:244::3.
    """

    def __init__(self, prefix: str) -> None:
        self.node, self.client = Namespace(f"{prefix}-node"), Namespace(f"{prefix}-client")
        self.pods = {letter: Namespace(f"{prefix}-{letter}") for letter in "ab"}
        node = self.node.name
        ip("-n", node, "link", "add", "cni0", "type", "bridge")
        ip("-n", node, "addr", "add", "10.244.1.1/24", "dev", "cni0")
        ip("-n", node, "addr", "add", "fd00:244::1/64", "dev", "cni0", "nodad")
        ip("-n", node, "link", "set", "cni0", "up")
        self._join(self.client, ("10.9.0.2/24", "fd00:9::2/64"), ("10.9.0.1", "fd00:9::1"))
        ip("-n", node, "addr", "add", "10.9.0.1/24", "dev", "to-client")
        ip("-n", node, "addr", "add", "fd00:9::1/64", "dev", "to-client", "nodad")
        ip("-n", node, "route", "add", "default", "via", "10.9.0.2")
        for number, (letter, pod) in enumerate(self.pods.items(), 2):
            addresses = (f"10.244.1.{number}/24", f"fd00:244::{number}/64")
            self._join(pod, addresses, ("10.244.1.1", "fd00:244::1"))
            ip("-n", node, "link", "set", f"to-{letter}", "master", "cni0")
            ip("-n", node, "link", "set", f"to-{letter}", "type", "bridge_slave", "hairpin", "on")
        # A cluster IP is nobody's address: without a default route a packet to it would never meet the rules.
        ip("-n", node, "route", "add", "default", "via", "fd00:9::2")
        self.node.set_sysctl("ipv4/ip_forward", "1")
        self.node.set_sysctl("ipv6/conf/all/forwarding", "1")
        self.node.set_sysctl("ipv4/conf/all/route_localnet", "1")

    def _join(self, space: Namespace, addresses: tuple[str, str], gateways: tuple[str, str]) -> None:
        node, port = self.node.name, f"to-{space.name.rpartition('-')[2]}"
        ip("-n", node, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space.name)
        ip("-n", node, "link", "set", port, "up")
        address, address6 = addresses
        ip("-n", space.name, "addr", "add", address, "dev", "eth0")
        ip("-n", space.name, "addr", "add", address6, "dev", "eth0", "nodad")
        ip("-n", space.name, "link", "set", "eth0", "up")
        for gateway in gateways:
            ip("-n", space.name, "route", "add", "default", "via", gateway)

    def remove(self) -> None:
        for space in (self.node, self.client, *self.pods.values()):
            space.remove()
