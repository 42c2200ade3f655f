"""What one host tells about itself; changes nothing.

This file is sent to hosts and run there by whatever Python they have: standard library only, with the host's own
release for YAML, certificates and CRI where there is one. Its argument is a JSON request ``{"control_plane", "address",
"api_port", "dns_address", "dns_name"}``; it prints one JSON document. A part that cannot be told is
``{"error": reason}``: a broken host has to be told about, not to break the report.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
RELEASE = Path("/opt/kdist/current")
KUBERNETES = Path("/etc/kubernetes")
AGENT_PKI = Path("/var/lib/kubelet/pki")
MANIFESTS = KUBERNETES / "manifests"
ETCD_PKI = KUBERNETES / "pki/etcd"
UNITS = ("kdist-agent.service", "containerd.service")
DISKS = ("/", "/var/lib/etcd", "/var/lib/containerd", "/var/lib/kubelet", "/var/log")
PSEUDO_PODS = re.compile(r"^\s*(?:-\s+)?image:\s*['\"]?([^'\"\s]+)", re.M)


def run(*command: str, timeout: float = 10, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error; 127 when there is no such program."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **environment},
        )
    except FileNotFoundError:
        return 127, "", f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, "", f"{command[0]} did not answer within {timeout:.0f} s"
    return done.returncode, done.stdout, done.stderr


def system() -> Facts:
    """Operating system, boot and memory."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.M))
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M))
    return {
        "os": release.get("PRETTY_NAME", "unknown"),
        "kernel": os.uname().release,
        "uptime": float(Path("/proc/uptime").read_text().split()[0]),
        "load": os.getloadavg()[0],
        "memory_total": int(memory["MemTotal"]) * 1024,
        "memory_available": int(memory["MemAvailable"]) * 1024,
    }


def version() -> Facts:
    """The release in use and those beside it."""
    link = RELEASE
    beside = [p.name for p in RELEASE.parent.glob("[0-9]*") if p.is_dir()] if RELEASE.parent.is_dir() else []
    return {"current": link.readlink().name if link.is_symlink() else "", "releases": sorted(beside)}


def units() -> Facts:
    """State of our units; what a failing one said last."""
    names = [*UNITS]
    names += sorted(p.name for p in Path("/etc/systemd/system").glob("kdist-*.timer"))
    found: Facts = {}
    for name in names:
        properties = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState"
        _, out, _ = run("systemctl", "show", name, f"--property={properties}")
        shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        found[name] = shown
        if shown.get("ActiveState") != "active" and shown.get("LoadState") == "loaded":
            _, log, _ = run("journalctl", "--unit", name, "--lines=5", "--output=cat", "--no-pager")
            found[name]["log"] = log.strip()
    return found


def disks() -> Facts:
    """Space and inodes by place: a place without a directory of its own is left out."""
    found: Facts = {}
    for place in DISKS:
        if not Path(place).is_dir():
            continue
        status = os.statvfs(place)
        size = status.f_blocks * status.f_frsize
        found[place] = {
            "size": size,
            "free": status.f_bavail * status.f_frsize,
            "inodes": status.f_files,
            "inodes_free": status.f_favail,
            "device": Path(place).stat().st_dev,
        }
    return found


def manifests() -> list[Facts]:
    """Static pod manifests: name and image of the pod, or file and line of what is wrong."""
    found = []
    for path in sorted(MANIFESTS.glob("[!.]*")):
        entry: Facts = {"path": str(path)}
        found.append(entry)
        try:
            entry |= manifest(path.read_text())
        except (OSError, ValueError) as error:
            entry["error"] = str(error)
    return found


def manifest(text: str) -> Facts:
    """Name and images of a pod. Raises ValueError that says what is wrong, with its line where one is known."""
    try:
        import yaml
    except ImportError:
        return {"name": "", "images": PSEUDO_PODS.findall(text)}
    try:
        pod = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        told = getattr(error, "problem", None) or str(error)
        raise ValueError(f"line {mark.line + 1}: {told}" if mark else told) from None
    if not isinstance(pod, dict):
        raise ValueError(
            "line 1: it is empty" if pod is None else "line 1: it is no mapping of keys to values"
        )
    if pod.get("kind") != "Pod":
        raise ValueError(f"line 1: kind is {pod.get('kind')!r}, not Pod")
    name = (pod.get("metadata") or {}).get("name")
    containers = (pod.get("spec") or {}).get("containers")
    if not name or not isinstance(containers, list) or not containers:
        raise ValueError("line 1: metadata.name and spec.containers are needed")
    return {"name": name, "images": [c.get("image", "") for c in containers if isinstance(c, dict)]}


def certificates() -> list[Facts]:
    """Every certificate of the host with its end: files and kubeconfigs of kdist, and what its agent asked for."""
    kept = [*KUBERNETES.rglob("*.crt"), *KUBERNETES.glob("*.conf"), *AGENT_PKI.glob("*-current.pem")]
    found = []
    for path in sorted(kept):
        name = str(path.relative_to(KUBERNETES) if path.is_relative_to(KUBERNETES) else path.name)
        try:
            for number, (subject, ends) in enumerate(_ends(path)):
                numbered = f" ({number + 1})" if number else ""
                found.append({"name": name + numbered, "subject": subject, "ends": ends})
        except (OSError, ValueError) as error:
            found.append({"name": name, "error": str(error)})
    return found


def _ends(path: Path) -> Iterator[tuple[str, float]]:
    from cryptography import x509

    content = path.read_bytes()
    if path.suffix == ".conf":
        embedded = re.search(rb"client-certificate-data:\s*(\S+)", content)
        if embedded is None:
            return
        content = base64.b64decode(embedded[1])
    for certificate in x509.load_pem_x509_certificates(content):
        yield certificate.subject.rfc4514_string(), certificate.not_valid_after_utc.timestamp()


def containers() -> list[Facts]:
    """Containers of kube-system as the runtime sees them, the newest of each name."""
    # The host's own release has it; nothing in this process imports the agent.
    client_class = importlib.import_module("kdist.agent.cri.client").CriClient

    async def ask() -> list[Facts]:
        client = client_class("unix:///run/containerd/containerd.sock")
        try:
            return [
                {
                    "pod": c.labels.get("io.kubernetes.pod.name", ""),
                    "name": c.metadata.name,
                    "attempt": c.metadata.attempt,
                    "running": c.state == 1,
                    "created": c.created_at / 1e9,
                    "image": c.image.image,
                }
                for c in await client.list_containers({"io.kubernetes.pod.namespace": "kube-system"})
            ]
        finally:
            await client.close()

    newest: dict[tuple[str, str], Facts] = {}
    for one in sorted(asyncio.run(ask()), key=lambda c: c["created"]):
        newest[one["pod"], one["name"]] = one
    for one in newest.values():
        if not one["running"]:
            one["log"] = last_words(one["pod"], one["name"])
    return list(newest.values())


def last_words(pod: str, container: str) -> str:
    """The end of a container's newest log."""
    logs = Path("/var/log/pods").glob(f"kube-system_{pod}_*/{container}/*.log")
    newest = max(logs, key=lambda p: p.stat().st_mtime, default=None)
    if newest is None:
        return ""
    lines = newest.read_text(errors="replace").splitlines()[-5:]
    return "\n".join(line.split(" ", 3)[-1] for line in lines)


def images() -> list[str]:
    """Names of the images that the runtime has."""
    code, out, err = run("ctr", "--namespace=k8s.io", "images", "ls", "--quiet")
    if code:
        raise OSError(err.strip())
    return out.split()


def etcd() -> Facts:
    """This host's member as it sees itself, the members it lists, alarms, and how long the disk takes."""
    found: Facts = {"data": Path("/var/lib/etcd/member").exists()}
    for key, command in (
        ("status", ("endpoint", "status")),
        ("members", ("member", "list")),
        ("alarms", ("alarm", "list")),
    ):
        arguments = [f"--cacert={ETCD_PKI}/ca.crt", f"--cert={ETCD_PKI}/healthcheck-client.crt"]
        arguments += [f"--key={ETCD_PKI}/healthcheck-client.key", "--write-out=json", "--command-timeout=3s"]
        code, out, err = run("etcdctl", *arguments, *command, ETCDCTL_API="3")
        if code == 0:
            found[key] = json.loads(out) if out.strip() else None
        else:
            found[key] = {"error": etcdctl_error(err)}
    with (
        contextlib.suppress(OSError, ValueError),
        urllib.request.urlopen("http://127.0.0.1:2381/metrics", timeout=3) as answer,
    ):
        text = answer.read().decode()
        found["fsync_p99"] = quantile(text, "etcd_disk_wal_fsync_duration_seconds", 0.99)
        if quota := re.search(r"^etcd_server_quota_backend_bytes (\S+)$", text, re.M):
            found["quota"] = int(float(quota[1]))
    return found


def etcdctl_error(text: str) -> str:
    """What etcdctl said: a JSON log line in newer versions, plain text in older ones."""
    last = text.strip().splitlines()[-1] if text.strip() else "no message"
    try:
        told = json.loads(last)
    except ValueError:
        return last.removeprefix("Error: ")
    return str(told.get("error") or told.get("msg") or last)


def quantile(metrics: str, name: str, share: float) -> float | None:
    """A quantile in seconds of a Prometheus histogram: the upper bound of its bucket; None without observations."""
    rows = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', metrics, re.M)
    buckets = [(float(bound.replace("+Inf", "inf")), float(count)) for bound, count in rows]
    total = buckets[-1][1] if buckets else 0.0
    return next((bound for bound, count in buckets if count >= share * total), None) if total else None


def api(address: str, port: int) -> Facts:
    """What this host's API server says of itself."""
    config = (KUBERNETES / "super-admin.conf").read_text()
    parts = {}
    for key in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
        value = re.search(rf"{key}:\s*(\S+)", config)
        if value is None:
            raise ValueError(f"super-admin.conf has no {key}")
        parts[key] = base64.b64decode(value[1])
    context = ssl.create_default_context(cadata=parts["certificate-authority-data"].decode())
    context.check_hostname = False  # by whichever address; the authority is the cluster's own
    with tempfile.NamedTemporaryFile(dir="/run") as file:
        file.write(parts["client-certificate-data"] + b"\n" + parts["client-key-data"])
        file.flush()
        context.load_cert_chain(file.name)
    found: Facts = {}
    authority = f"[{address}]" if ":" in address else address
    for path in ("livez", "readyz"):
        try:
            with urllib.request.urlopen(
                f"https://{authority}:{port}/{path}", timeout=5, context=context
            ) as answer:
                found[path] = answer.read().decode()
        except urllib.error.HTTPError as error:
            found[path] = error.read().decode()
        except OSError as error:
            found["error"] = str(getattr(error, "reason", error))
            break
    return found


def dns(server: str, name: str) -> Facts:
    """Whether the cluster's DNS Service answers on this host, and how fast."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    header = b"\x4b\x64\1\0\0\1\0\0\0\0\0\0"
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    began = time.monotonic()
    for _ in range(2):
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.settimeout(1.5)
            try:
                connection.connect((server, 53))
                connection.send(header + question)
                answer = connection.recv(512)
            except OSError as error:
                told = str(error)
                continue
        if answer[3] & 15 == 0 and answer[7] > 0:
            return {"seconds": time.monotonic() - began}
        told = f"it answers with code {answer[3] & 15} and {answer[7]} records"
    return {"error": told}


def snapshots() -> Facts:
    """etcd's snapshots: the newest one's name, how the last attempt went, whether a timer takes them."""
    settings = KUBERNETES / "etcd-snapshots.yaml"
    given = (
        re.search(r"^directory:\s*['\"]?([^'\"\n]+)", settings.read_text(), re.M)
        if settings.exists()
        else None
    )
    directory = Path(given[1] if given else "/var/lib/kdist/etcd-snapshots")
    names = sorted(p.name for p in directory.glob("[0-9]*Z-r[0-9]*")) if directory.is_dir() else []
    last = directory / "last.json"
    timer = Path("/etc/systemd/system/kdist-etcd-snapshot.timer")
    return {
        "scheduled": timer.exists(),
        "since": timer.stat().st_mtime if timer.exists() else None,
        "directory": str(directory),
        "count": len(names),
        "newest": names[-1] if names else None,
        "last": json.loads(last.read_text()) if last.exists() else None,
    }


def leftovers() -> Facts:
    """What an operation that was cut off leaves on a host."""
    directory = RELEASE.parent
    partial = [str(p) for p in directory.glob(".*.partial")] if directory.is_dir() else []
    partial += [str(p) for p in Path("/var/lib/kdist").glob("bundle*.partial")]
    code, out, _ = run("dpkg", "--audit")
    return {"partial": partial, "packages": out.strip() if code == 0 else ""}


def told(ask: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or the error as the answer."""
    try:
        return ask(*arguments)
    except Exception as error:  # noqa: BLE001  # a supervisor: one part that fails must not hide the others
        return {"error": f"{type(error).__name__}: {error}"}


def observe(request: Facts) -> Facts:
    """Everything, as the request asks."""
    sys.path.insert(0, str(RELEASE / "lib"))
    found: Facts = {
        "time_began": time.time(),
        "system": told(system),
        "version": told(version),
        "units": told(units),
        "disks": told(disks),
        "manifests": told(manifests),
        "certificates": told(certificates),
        "leftovers": told(leftovers),
    }
    if shutil.which("ctr"):
        found |= {"images": told(images), "containers": told(containers)}
    if request.get("dns_address") and RELEASE.exists():
        found["dns"] = told(dns, request["dns_address"], request["dns_name"])
    if request.get("control_plane"):
        found["snapshots"] = told(snapshots)
        found |= {"etcd": told(etcd), "api": told(api, request["address"], request["api_port"])}
    return found | {"time": time.time()}


if __name__ == "__main__":
    json.dump(observe(json.loads(sys.argv[1])), sys.stdout)
