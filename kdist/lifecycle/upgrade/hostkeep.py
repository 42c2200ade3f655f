"""What a host keeps to go back, as it is kept there: run on hosts by whatever Python they have, standard library only.

``save VERSION OPERATION``: static pod manifests, unit and runtime configuration of the current release, once in an
operation, before the host is changed. ``restore VERSION``: put them back, make the release current, restart what
changed. ``look``: what there is.
The releases themselves lie side by side in /opt/kdist. Prints a JSON answer; a failure is told on standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RELEASES = "opt/kdist"
KEPT = "var/lib/kdist/rollback"
PENDING = "pending.partial"
MANIFESTS = "etc/kubernetes/manifests"
FILES = ("etc/systemd/system/kdist-agent.service", "etc/containerd/config.toml", "etc/crictl.yaml")


def current(root: Path) -> str:
    """The release in use; empty without one."""
    link = root / RELEASES / "current"
    return os.readlink(link) if link.is_symlink() else ""  # noqa: PTH115


def sources(root: Path) -> list[str]:
    """Files, below the root, that make a host what it is."""
    manifests = sorted((root / MANIFESTS).glob("*.yaml"))
    found = [str(path.relative_to(root)) for path in manifests]
    return found + [name for name in FILES if (root / name).exists()]


def save(root: Path, version: str, operation: str) -> dict[str, Any]:
    """Keep the files of the current release. A host that was begun already keeps what it kept."""
    target = root / KEPT / version
    mark = target / ".operation"
    if mark.exists() and mark.read_text() == operation:
        return {"saved": False}
    if current(root) != version:
        if target.is_dir():
            return {"saved": False}
        raise SystemExit(
            f"runs {current(root) or 'no release'}, not {version}, and kept nothing of {version}"
        )
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in sources(root):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, partial / name)
    (partial / ".operation").write_text(operation)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return {"saved": True}


def restore(root: Path, version: str) -> dict[str, Any]:
    """Put back what was kept; ``changed`` is what services must take up. Done again after :func:`settled`: nothing.

    What changes is written down before, so that a run that was killed before its restarts does them the next time.
    """
    kept = root / KEPT / version
    if not kept.is_dir():
        raise SystemExit(f"kept nothing of {version} below /{KEPT}: it cannot go back by itself")
    if not (root / RELEASES / version / "bin/kdist").exists():
        raise SystemExit(f"/{RELEASES}/{version} is gone: it cannot go back by itself")
    wanted = [str(path.relative_to(kept)) for path in sorted(kept.rglob("*")) if path.is_file()]
    wanted.remove(".operation")
    # Manifests last and at once: the agent starts what it sees.
    ordered = sorted(wanted, key=lambda name: name.startswith(MANIFESTS))
    different = [name for name in ordered if not same(kept / name, root / name)]
    extra = [name for name in sources(root) if name.startswith(MANIFESTS) and name not in wanted]
    turned = ["release"] if current(root) != version else []
    pending = root / KEPT / PENDING
    before = json.loads(pending.read_text()) if pending.exists() else []
    changed = list(dict.fromkeys([*before, *turned, *different, *extra]))
    pending.write_text(json.dumps(changed))
    if turned:
        make_current(root, version)
    for name in different:
        put(kept / name, root / name)
    for name in extra:
        (root / name).unlink()
    return {"changed": changed}


def settled(root: Path) -> None:
    """Services have taken up what was put back."""
    (root / KEPT / PENDING).unlink(missing_ok=True)


def same(one: Path, other: Path) -> bool:
    """Whether two files have the same content."""
    return other.exists() and one.read_bytes() == other.read_bytes()


def put(source: Path, target: Path) -> None:
    """Replace a file atomically."""
    temporary = target.with_name(f".{target.name}.restored")
    shutil.copy2(source, temporary)
    temporary.replace(target)


def make_current(root: Path, version: str) -> None:
    """Turn the link."""
    temporary = root / RELEASES / ".current.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version)
    temporary.replace(root / RELEASES / "current")


def restart(changed: list[str]) -> None:
    """Have the services run what was put back."""
    if not changed:
        return
    if "etc/containerd/config.toml" in changed:
        run("systemctl", "restart", "containerd")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "kdist-agent")


def run(*command: str) -> None:
    """A command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def look(root: Path) -> dict[str, Any]:
    """Releases, what is kept, free space, certificates (PEM by path)."""
    releases = root / RELEASES
    names = (
        sorted(p.name for p in releases.iterdir() if (p / "bin/kdist").exists()) if releases.is_dir() else []
    )
    kubernetes = root / "etc/kubernetes"
    certificates = {str(p.relative_to(kubernetes)): p.read_text() for p in sorted(kubernetes.rglob("*.crt"))}
    kubeconfigs = {str(p.relative_to(kubernetes)): p.read_text() for p in sorted(kubernetes.glob("*.conf"))}
    kept = root / KEPT
    return {
        "release": current(root),
        "releases": [name for name in names if name != "current"],
        "kept": sorted(p.name for p in kept.iterdir() if not p.name.endswith(".partial"))
        if kept.is_dir()
        else [],
        "disk_free": shutil.disk_usage(root / "var/lib").free,
        "certificates": certificates,
        "kubeconfigs": {name: public(text) for name, text in kubeconfigs.items()},
    }


def public(kubeconfig: str) -> str:
    """The client certificate of a kubeconfig as it stands there (base64), without its key."""
    rows = [row.strip() for row in kubeconfig.splitlines() if "client-certificate-data:" in row]
    return rows[0].partition(":")[2].strip() if rows else ""


def main(arguments: list[str]) -> None:
    """Do what is asked."""
    root = Path("/")
    if arguments[0] == "look":
        answer = look(root)
    elif arguments[0] == "save":
        answer = save(root, arguments[1], arguments[2])
    else:
        answer = restore(root, arguments[1])
        restart(answer["changed"])
        settled(root)
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
