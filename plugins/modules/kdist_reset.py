#!/usr/bin/python
"""Take away from a host what kdist added to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_reset
short_description: Leave a host as it was before kdist
description:
  - Stops pods (through CRI), units and the runtime, removes links, routes, nftables tables, mounts and cgroups, purges
    the packages that kdist installed and that nothing else needs, removes its files, and gives files that it changed
    their former content, as the ledger on the host says.
  - Can be repeated, and works on a host with half an installation. Without ledger and release there is nothing to do.
options:
  keep_data:
    description: Leave etcd's data and snapshots, local volumes, and the certificates and keys they need.
    type: bool
    default: false
  grace:
    description: Seconds that containers get to end.
    type: int
    default: 10
author: [kdist]
"""
EXAMPLES = r"""
- name: Reset
  kdist_reset:
    keep_data: false
"""
RETURN = r"""
removed:
  description: Kind of thing to what was (or, in check mode, would be) taken away.
  returned: always
  type: dict
stays:
  description: What stays, with the reason.
  returned: always
  type: dict
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from ansible.module_utils import kdist_teardown as teardown
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import RELEASE, use_release
from ansible.module_utils.kdist_ledger import DIRECTORY, TREES, Ledger
from ansible.module_utils.kdist_ledger import mounts as mount_points

SOCKET = "/run/containerd/containerd.sock"
# Needed until the end: the ledger is removed last, the lock by the operator who holds it.
STAYS = (DIRECTORY, "/var/lib/kdist/operator.lock")
TIMER_STAMPS = Path("/var/lib/systemd/timers")
CGROUPS = Path("/sys/fs/cgroup")
VIP_MANIFEST = Path("/etc/kubernetes/manifests/kdist-vip.yaml")


class Reset:
    """One reset of this host; ``apply`` is false in check mode."""

    def __init__(self, module: AnsibleModule, content: dict, ledger: Ledger) -> None:
        self.module, self.content, self.ledger = module, content, ledger
        self.apply = not module.check_mode
        self.keep = list(teardown.DATA) if module.params["keep_data"] else []
        self.removed: dict[str, list[str]] = {}
        self.stays: dict[str, str] = {}

    def run(self) -> None:
        """Everything, in the order in which one thing needs another."""
        adopted = "; an earlier kdist kept no ledger" if self.content.get("adopted") else ""
        if adopted:
            self.stays["packages"] = f"what was installed before is not known{adopted}"
        address = teardown.virtual_address(VIP_MANIFEST.read_text()) if VIP_MANIFEST.exists() else None
        self.stop_units(teardown.units(self.content))
        self.stop_pods()
        purge = self.plan_packages()
        self.stop_runtime([name for _, name in purge.steps])
        self.clear_network(address)
        self.unmount()
        self.remove_cgroups()
        self.purge(purge)
        self.restore_files()
        self.remove_trees()
        self.restore_kernel()

    def note(self, kind: str, subject: str) -> None:
        self.removed.setdefault(kind, []).append(subject)

    def call(self, *command: str, quiet: bool = True) -> str:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode and not quiet:
            raise ResetFailed(f"{' '.join(command)}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def stop_units(self, names: list[str]) -> None:
        for name in names:
            self.note("unit", name)
            if self.apply:
                self.call("systemctl", "disable", "--now", name)
                (TIMER_STAMPS / f"stamp-{name}").unlink(missing_ok=True)

    def stop_pods(self) -> None:
        if not Path(SOCKET).exists():
            return
        try:
            use_release()
            from kdist.agent.cri.client import CriClient
            from kdist.agent.cri.errors import CriError
        except (FileNotFoundError, ImportError) as error:
            self.stays["pods"] = f"not stopped through CRI: {error}; their processes are ended instead"
            return
        try:
            asyncio.run(self._stop_pods(CriClient))
        except (CriError, OSError) as error:
            self.stays["pods"] = f"containerd did not stop them: {error}; their processes are ended instead"

    async def _stop_pods(self, client_class: type) -> None:
        client = client_class(f"unix://{SOCKET}")
        try:
            sandboxes = await client.list_sandboxes()
            for sandbox in sandboxes:
                self.note("pod", f"{sandbox.metadata.namespace}/{sandbox.metadata.name}")
            if not self.apply:
                return
            running = [c for c in await client.list_containers() if c.state == 1]  # CONTAINER_RUNNING
            grace = self.module.params["grace"]
            await asyncio.gather(
                *(client.stop_container(c.id, grace) for c in running), return_exceptions=True
            )
            await asyncio.gather(*(client.stop_sandbox(s.id) for s in sandboxes), return_exceptions=True)
            await asyncio.gather(*(client.remove_sandbox(s.id) for s in sandboxes), return_exceptions=True)
        finally:
            await client.close()

    def stop_runtime(self, purged: list[str]) -> None:
        """Stop the units of packages that go; a containerd that was there before loses just our images."""
        if self.content["runtime"]:
            for name in self.content["images"]:
                self.note("image", name)
                if self.apply:
                    self.call("ctr", "--namespace=k8s.io", "images", "rm", name)
            return
        units = []
        for name in purged:
            units += re.findall(
                r"/systemd/system/([^/\s]+\.(?:service|socket|timer))$", self.call("dpkg", "-L", name), re.M
            )
        for unit in sorted(set(units)):
            if self.apply and self.call("systemctl", "is-active", unit).strip() == "active":
                self.call("systemctl", "disable", "--now", unit)
            elif self.apply:
                self.call("systemctl", "disable", unit)
        if self.apply:
            self._end_processes()

    def _end_processes(self) -> None:
        """What containerd left: shims of pods, and what still runs in pods' cgroups."""
        for pid in self._leftovers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.note("process", str(pid))
        deadline = time.monotonic() + 10
        while self._leftovers() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _leftovers(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                groups = (entry / "cgroup").read_text()
            except OSError:
                continue
            shim = b"containerd-shim" in command[0] and b"k8s.io" in command
            if shim or re.search(r"[:/]kubepods[./]", groups):
                found.append(int(entry.name))
        return found

    def clear_network(self, address: str | None) -> None:
        self._remove_address(address)
        routes = self.call("ip", "-o", "route", "show", "proto", str(teardown.ROUTE_PROTOCOL)).splitlines()
        for route in routes:
            self.note("route", route.split()[0])
        if routes and self.apply:
            self.call("ip", "route", "flush", "proto", str(teardown.ROUTE_PROTOCOL), quiet=False)
        shown = json.loads(self.call("ip", "-details", "-json", "link") or "[]")
        kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind", "") for link in shown if link}
        for _, name in teardown.links(self.content, kinds).steps:
            self.note("link", name)
            if self.apply:
                self.call("ip", "link", "delete", name)
        if shutil.which("nft"):
            self._remove_tables()

    def _remove_address(self, address: str | None) -> None:
        if address is None:
            return
        for line in self.call("ip", "-o", "addr", "show", "to", address).splitlines():
            self.note("address", address)
            if self.apply:
                fields = line.split()
                self.call("ip", "addr", "delete", fields[3], "dev", fields[1])

    def _remove_tables(self) -> None:
        listed = json.loads(self.call("nft", "--json", "list", "ruleset") or '{"nftables": []}')
        for verb, subject in teardown.tables(self.content, listed["nftables"]).steps:
            self.note("nftables", f"{verb} {subject}")
            if self.apply:
                self.call("nft", *verb.split(), *subject.split(), quiet=False)

    def unmount(self) -> None:
        for _, point in teardown.mounts(self.content, mount_points()).steps:
            if any(point.startswith(path + "/") for path in self.keep):
                continue
            self.note("mount", point)
            if self.apply:
                self.call("umount", "--lazy", point)

    def remove_cgroups(self) -> None:
        if not CGROUPS.is_dir():
            return
        if self.apply:
            self.call("systemctl", "stop", "kubepods.slice")
        tops = [*CGROUPS.glob("kubepods*"), *CGROUPS.glob("*/kubepods*")]
        for top in tops:
            self.note("cgroup", str(top))
            if self.apply:
                for directory, _, _ in os.walk(top, topdown=False):
                    try:
                        Path(directory).rmdir()
                    except OSError as error:
                        self.stays[directory] = f"cannot be removed: {error.strerror}"

    def plan_packages(self) -> teardown.Plan:
        form = "${Package}\t${Version}\t${db:Status-Status}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
        installed, versions = {}, {}
        for line in self.call("dpkg-query", "-W", "-f", form).splitlines():
            name, version, status, provides, depends = line.split("\t")
            if status != "not-installed" and (status != "config-files" or name in self.content["packages"]):
                installed[name] = teardown.parse_package(name, provides, depends)
                versions[name] = version
        plan = teardown.packages(self.content["packages"], installed, versions)
        self.stays |= plan.stays
        return plan

    def purge(self, plan: teardown.Plan) -> None:
        names = [name for _, name in plan.steps]
        for name in names:
            self.note("package", name)
        if names and self.apply:
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            command = ["dpkg", "--force-remove-reinstreq", "--force-unsafe-io", "--purge", *names]
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise ResetFailed(f"dpkg --purge ended with {done.returncode}: {done.stderr.strip()[-1500:]}")

    def restore_files(self) -> None:
        for verb, name in teardown.files(self.content, self.keep).steps:
            path = Path(name)
            if verb == "restore":
                self._restore(path, self.content["files"][name])
            elif verb == "remove directory":
                if self.apply and path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
            elif path.exists() or path.is_symlink():
                self.note("file", name)
                if self.apply:
                    path.unlink()
        if self.apply:
            self.call("systemctl", "daemon-reload")
            self.call("systemctl", "reset-failed")
            self._restore_runtime()

    def _restore(self, path: Path, before: dict) -> None:
        self.note("restored file", str(path))
        if not self.apply:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if "target" in before:
            path.symlink_to(before["target"])
            return
        shutil.copyfile(self.ledger.saved(before), path)
        path.chmod(before["mode"])
        os.chown(path, before["uid"], before["gid"])

    def _restore_runtime(self) -> None:
        before = self.content["runtime"]
        if before:
            self.call("systemctl", "enable" if before["is-enabled"] == "enabled" else "disable", "containerd")
            self.call("systemctl", "restart" if before["is-active"] == "active" else "stop", "containerd")

    def remove_trees(self) -> None:
        present = {tree: list(_below(Path(tree))) for tree in TREES if Path(tree).is_dir()}
        plan = teardown.trees(self.content, present, [*self.keep, *STAYS])
        self.stays |= {path: reason for path, reason in plan.stays.items() if path not in STAYS}
        for _, name in plan.steps:
            path = Path(name)
            if not self.apply:
                continue
            try:
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                self.stays[name] = f"cannot be removed: {error.strerror}"
        for tree, (mode, user, group) in self.content["owners"].items():
            if self.apply and Path(tree).is_dir():
                Path(tree).chmod(mode)
                os.chown(tree, user, group)
        for tree in present:
            if count := sum(1 for _, name in plan.steps if name == tree or name.startswith(tree + "/")):
                self.note("tree", f"{tree} ({count})")

    def restore_kernel(self) -> None:
        present = {}
        for name in self.content["sysctls"]:
            try:
                present[name] = Path("/proc/sys", *name.split(".")).read_text().strip()
            except OSError:
                continue
        for _, pair in teardown.sysctls(self.content, present).steps:
            self.note("sysctl", pair)
            if self.apply:
                self.call("sysctl", "-q", "-w", pair)
        for name in self.content["modules"]:
            if not Path("/sys/module", name).exists():
                continue  # it could not be loaded, or somebody has unloaded it
            self.note("kernel module", name)
            if self.apply:
                self.call("modprobe", "-r", name)
                if Path("/sys/module", name).exists():
                    self.stays[f"kernel module {name}"] = "is in use; it is gone after the next boot"

    def finish(self) -> None:
        """Forget the ledger, or what of it is done."""
        if self.keep:
            self.ledger.reduce(self.keep)
            return
        self.ledger.remove()
        above = Path(DIRECTORY).parent
        if above.is_dir() and not any(above.iterdir()):
            above.rmdir()


class ResetFailed(Exception):
    """A step failed; the text says which and why. What was done is done, a second run goes on."""


def _below(tree: Path):
    for directory, names, others in os.walk(tree):
        for name in names + others:
            yield str(Path(directory, name).relative_to(tree))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "keep_data": {"type": "bool", "default": False},
            "grace": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    ledger = Ledger()
    content = ledger.read()
    if content is None and not RELEASE.parent.exists():
        module.exit_json(changed=False, removed={}, stays={})
    if content is None:  # of a kdist that kept no ledger
        content = ledger.beginning()
    reset = Reset(module, content, ledger)
    try:
        reset.run()
    except ResetFailed as error:
        module.fail_json(msg=f"{error}\nRun it again to go on.", removed=reset.removed, stays=reset.stays)
    if reset.apply:
        reset.finish()
    module.exit_json(changed=bool(reset.removed), removed=reset.removed, stays=reset.stays)


if __name__ == "__main__":
    main()
