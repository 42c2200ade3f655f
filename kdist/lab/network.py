"""The lab's network on the machine: a bridge inside a namespace of its own, one cable per running host."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kdist.lab.boot import interface
from kdist.lab.plan import BRIDGE, Host, Lab, clash
from kdist.lab.process import LabError, run, succeeds

NETNS_DIR = Path("/run/netns")
CLONE_NEWNET = 0x40000000
SSH_PORT = 22


def create(lab: Lab) -> None:
    """Make the lab's namespace and bridge unless they exist. LabError when the address range is taken."""
    if (NETNS_DIR / lab.netns).exists():
        return
    taken = clash(lab.subnet, _networks_in_use())
    if taken:
        raise LabError(f"address range {lab.subnet} is in use: {taken}; choose another with --subnet")
    run("ip", "netns", "add", lab.netns)
    lines = (
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"link set {BRIDGE} alias {lab.path}",
        f"addr add {lab.gateway}/{lab.prefix_length} dev {BRIDGE}",
        *([f"addr add {lab.gateway6}/{lab.prefix_length6} dev {BRIDGE} nodad"] if lab.subnet6 else []),
        f"link set {BRIDGE} up",
    )
    run("ip", "-n", lab.netns, "-batch", "-", input="\n".join(lines) + "\n")


def owner(lab: Lab) -> str | None:
    """The directory of the lab that has this name's namespace; empty when nothing says so, None when there is none."""
    if not (NETNS_DIR / lab.netns).exists():
        return None
    links = json.loads(run("ip", "-n", lab.netns, "-json", "link", "show") or "[]")
    return next((str(link.get("ifalias", "")) for link in links if link["ifname"] == BRIDGE), "")


def remove(lab: Lab) -> None:
    """Remove the lab's namespace and whatever is left of its hosts'."""
    for netns in (*(lab.host_netns(host) for host in lab.hosts), lab.netns):
        if (NETNS_DIR / netns).exists():
            run("ip", "netns", "del", netns)


def remove_host(lab: Lab, host: Host) -> None:
    """Remove what a killed supervisor left of its host's network."""
    succeeds("ip", "-n", lab.netns, "link", "del", interface(host))
    if (NETNS_DIR / lab.host_netns(host)).exists():
        run("ip", "netns", "del", lab.host_netns(host))


def set_cable(lab: Lab, host: Host, *, plugged: bool) -> None:
    """Plug or unplug the host's cable. LabError when the host is off (it then has none)."""
    state = "up" if plugged else "down"
    if not succeeds("ip", "-n", lab.netns, "link", "set", interface(host), state):
        raise LabError(f"host {host.name} is off: kdist lab start {host.name}")


def is_plugged(lab: Lab, host: Host) -> bool:
    """Whether the host's cable is in; False when the host is off."""
    argv = ("ip", "-n", lab.netns, "-json", "link", "show", "dev", interface(host))
    if not succeeds(*argv):
        return False
    return "UP" in json.loads(run(*argv))[0]["flags"]


def _networks_in_use() -> dict[str, list[str]]:
    """Owner → IPv4 networks: the machine's routes, and the addresses in every named namespace."""
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    networks = [route["dst"] for route in routes if route["dst"] != "default"]
    found = {"a route of this machine": [n for n in networks if route_matters(n)]}
    for netns in sorted(path.name for path in NETNS_DIR.iterdir()) if NETNS_DIR.exists() else ():
        if not succeeds("ip", "-n", netns, "link", "show", "dev", "lo"):
            continue  # removed meanwhile, or a dead mount point
        links = json.loads(run("ip", "-n", netns, "-json", "-4", "addr", "show") or "[]")
        found[f"network namespace {netns}"] = [
            f"{address['local']}/{address['prefixlen']}"
            for link in links
            for address in link.get("addr_info", ())
            if route_matters(address["local"])
        ]
    return found


def route_matters(network: str) -> bool:
    """Whether an address or network is more than loopback or multicast."""
    return not network.startswith(("127.", "224.", "broadcast"))


def wait_for_ssh(lab: Lab, hosts: list[Host], alive: Callable[[Host], bool], seconds: float) -> None:
    """Return when sshd greets on every host. LabError naming a host that died or did not answer in time."""
    waiting = {host.name: host for host in hosts}
    deadline = time.monotonic() + seconds

    def poll() -> None:
        while waiting and time.monotonic() < deadline:
            for host in list(waiting.values()):
                if _greets(host.address):
                    del waiting[host.name]
                elif not alive(host):
                    return
            time.sleep(0.03)

    in_namespace(lab.netns, poll)
    if waiting:
        consoles = ", ".join(str(lab.host_path(host) / "console.log") for host in waiting.values())
        raise LabError(f"{', '.join(waiting)}: no ssh; see {consoles}")


def _greets(address: str) -> bool:
    try:
        with socket.create_connection((address, SSH_PORT), timeout=0.2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def in_namespace(netns: str, action: Callable[[], None]) -> None:
    """Run ``action`` in a thread that has entered the network namespace; its error, if any, is raised here.

    A namespace belongs to a thread: the rest of the process stays where it is.
    """
    failed: list[OSError] = []

    def enter_and_act() -> None:
        try:
            with (NETNS_DIR / netns).open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code))
            action()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter_and_act, name=f"netns {netns}")
    thread.start()
    thread.join()
    if failed:
        raise LabError(f"network namespace {netns}: {failed[0]}") from failed[0]
