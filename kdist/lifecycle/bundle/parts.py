"""The layers images are made of, each from its inputs: Debian packages, wheels, kdist itself.

From the bottom up: ``busybox`` (a merged-usr skeleton and a shell), ``libc``, then ``etcd`` on the one hand and
``system``, ``dependencies`` (those of every host, then those of control planes), ``kdist`` on the other.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from kdist.lifecycle.bundle import interpreter, operatortree, rootfs, site
from kdist.lifecycle.bundle.apt import Apt, Package
from kdist.lifecycle.bundle.interpreter import Interpreter
from kdist.lifecycle.bundle.layers import Blob, LayerCache, TarWriter
from kdist.lifecycle.bundle.process import run

ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nunbound:x:101:101::/var/lib/unbound:/bin/false\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nunbound:x:101:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
}
DIRECTORIES = (
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sys",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/sbin",
    "var/lib",
)

LIBC = ("libc6",)
ETCD = ("etcd-server", "etcd-client")
TOOLS = (
    "ca-certificates",
    "e2fsprogs",
    "iproute2",
    "libstdc++6",
    "mount",
    "netbase",
    "nftables",
    "python3-nftables",
    "tzdata",
    "unbound",
    "util-linux",
)
# Dependencies of maintainer scripts and of features an image does not use; none is linked by what it runs.
LEFT_OUT = (
    *("adduser", "debconf", "dpkg", "init-system-helpers", "lsb-base", "media-types", "openssl", "passwd"),
    *("libperl5.36", "libperl5.40", "perl", "perl-base", "perl-modules-5.36", "perl-modules-5.40"),
    *(
        "libfile-find-rule-perl",
        "libnumber-compare-perl",
        "libtext-glob-perl",
        "usrmerge",
        "sysvinit-utils",
        "tar",
    ),
    *(
        "libaudit-common",
        "libgdbm-compat4",
        "libgdbm6",
        "libsemanage-common",
        "libsemanage2",
        "libsepol2",
        "libsqlite3-0",
    ),
    *("libdb5.3", "libdb5.3t64", "libgdbm6t64", "libgdbm-compat4t64"),
    *("python3-attr", "python3-jsonschema", "python3-pyrsistent", "python3-rpds-py", "python3-referencing"),
    *("libcap2-bin", "libpam-modules", "libpam-modules-bin", "libpam-runtime", "util-linux-extra", "logsave"),
)

WEB_SERVER = """\
#!/bin/sh
# Answers every request for / with the name of the pod.
mkdir -p /tmp/www && hostname > /tmp/www/index.html || exit 1
httpd -f -p "${PORT:-8080}" -h /tmp/www &
trap 'kill $!' TERM INT
wait $!
"""


class Parts:
    """Makes layers for one Debian release, in ``cache``: those of all images, or only the hosts' Python tree."""

    def __init__(self, cache: Path, suite: str, python: str, *, refresh: bool) -> None:
        self._cache, self._suite, self._python, self._refresh = cache, suite, python, refresh
        self._apt = Apt(cache, suite)
        self._layers = LayerCache(cache / "layers")

    def packages(self, *names: str) -> list[Package]:
        """The closure of these packages, downloaded."""
        return self._apt.closure(names, refresh=self._refresh)

    def base(self, *names: str) -> dict[str, str]:
        """The closure of these packages and what it provides, name → version."""
        return self._apt.base(names, refresh=self._refresh)

    def fetch(self, *, images: bool) -> None:
        """Download all packages layers are made of, so that making them needs no network."""
        self.libc_packages()
        self._python_packages()
        if images:
            self.busybox_package()
            self.etcd_packages()
            self.system_packages()

    def busybox_package(self) -> Package:
        """Debian's static busybox."""
        return self.packages("busybox-static")[0]

    def etcd_packages(self) -> list[Package]:
        """The server and its tools, without what only their installation needs."""
        return [package for package in self.packages(*ETCD) if package.name in ETCD]

    def libc_packages(self) -> list[Package]:
        """The C library."""
        return self.packages(*LIBC)

    def system_packages(self) -> list[Package]:
        """Debian's Python and the tools kdist calls, without the C library."""
        return self._above_libc(*TOOLS, *self._python_names())

    def _python_packages(self) -> list[Package]:
        return self._above_libc(*self._python_names())

    def _python_names(self) -> tuple[str, str]:
        return f"python{self._python}-minimal", f"libpython{self._python}-stdlib"

    def _above_libc(self, *names: str) -> list[Package]:
        below = {package.name for package in self.libc_packages()}
        return [p for p in self.packages(*names) if p.name not in below and p.name not in LEFT_OUT]

    def busybox(self) -> Blob:
        """A merged-usr skeleton, accounts, and busybox under the name of each of its applets."""
        package = self.busybox_package()

        def fill(tar: TarWriter) -> None:
            program = self._root("busybox", [package]) / "usr/bin/busybox"
            for name in DIRECTORIES:
                tar.directory(name)
            tar.directory("tmp", 0o1777)
            for name in rootfs.MERGED:
                tar.link(name, f"usr/{name}")
            for name, content in ACCOUNTS.items():
                tar.file(name, content.encode())
            tar.file("usr/bin/busybox", program.read_bytes(), 0o755)
            for applet in sorted(set(run(str(program), "--list").split()) - {"busybox"}):
                tar.link(f"usr/bin/{applet}", "busybox")

        return self._layers.layer("busybox", _inputs([package]), fill)

    def libc(self) -> Blob:
        """The C library."""
        packages = self.libc_packages()
        return self._layers.layer(
            "libc", _inputs(packages), lambda tar: tar.tree(self._root("libc", packages))
        )

    def etcd(self) -> Blob:
        """etcd and etcdctl."""
        packages = self.etcd_packages()
        return self._layers.layer(
            "etcd", _inputs(packages), lambda tar: tar.tree(self._root("etcd", packages))
        )

    def system(self) -> Blob:
        """Debian's Python and the tools kdist calls."""
        packages = self.system_packages()
        return self._layers.layer("system", _inputs(packages), lambda tar: tar.tree(self._system_root()))

    def dependencies(self, name: str, wheels: list[Path], levels: tuple[str, ...]) -> Blob:
        """Third-party Python packages; of schemas those of these API levels."""
        inputs = _inputs(self._python_packages()) + "".join(wheel.name for wheel in wheels) + str(levels)

        def fill(tar: TarWriter) -> None:
            tree = site.clear(self._cache / f"stage/{name}")
            site.unpack_wheels(wheels, tree, levels)
            site.strip(tree)
            self._interpreter().compile(tree, f"/{site.PREFIX}/lib")
            tar.tree_at(tree, f"{site.PREFIX}/lib")
            shutil.rmtree(tree)

        return self._layers.layer(f"{self._suite}-{name}", inputs, fill)

    def kdist(self, checkout: Path, version: str) -> Blob:
        """kdist itself and its launcher; last, the mark that the tree is complete."""
        digest = hashlib.sha256(version.encode())
        for path in site.sources(checkout):
            digest.update(f"{path}\0".encode() + path.read_bytes())

        def fill(tar: TarWriter) -> None:
            tree = site.clear(self._cache / "stage/kdist")
            site.copy_kdist(checkout, tree, version)
            self._interpreter().compile(tree, f"/{site.PREFIX}/lib")
            tar.tree_at(tree, f"{site.PREFIX}/lib")
            tar.file(f"{site.PREFIX}/bin/kdist", site.LAUNCHER.encode(), 0o755)
            tar.file(f"{site.PREFIX}/.complete", f"{version}\n".encode())
            shutil.rmtree(tree)

        inputs = _inputs(self._python_packages()) + digest.hexdigest()
        return self._layers.layer(f"{self._suite}-kdist", inputs, fill)

    def checkout(self, checkout: Path, version: str) -> Blob:
        """What the operator runs: playbooks, roles, plug-ins and kdist, as a tree to install from."""
        tree = f"kdist-{version}"
        files = operatortree.files(checkout, version)
        digest = hashlib.sha256(tree.encode())
        for name, (content, mode) in files.items():
            digest.update(f"{name}\0{mode}\0".encode() + content)

        def fill(tar: TarWriter) -> None:
            for name, (content, mode) in files.items():
                tar.file(f"{tree}/{name}", content, mode)

        return self._layers.layer("checkout", digest.hexdigest(), fill)

    def pause(self) -> Blob:
        """Our own first process of a pod, compiled here."""
        source = Path(__file__).with_name("pause.c")

        def fill(tar: TarWriter) -> None:
            program = site.clear(self._cache / "stage/pause") / "pause"
            run("gcc", "-Os", "-static", "-s", "-Wl,--build-id=none", "-o", str(program), str(source))
            tar.file("pause", program.read_bytes(), 0o755)

        return self._layers.layer("pause", source.read_text(), fill)

    def web_server(self) -> Blob:
        """The demonstration's web server: a script for busybox."""
        return self._layers.layer(
            "demo-web", WEB_SERVER, lambda tar: tar.file("usr/bin/demo-web", WEB_SERVER.encode(), 0o755)
        )

    def _interpreter(self) -> Interpreter:
        libc = self._root("libc", self.libc_packages())
        return Interpreter(self._python, libc, self._root("python", self._python_packages()))

    def _system_root(self) -> Path:
        return self._root("system", self.system_packages(), python=self._python)

    def _root(self, name: str, packages: list[Package], *, python: str | None = None) -> Path:
        """The packages' files as a directory, kept for the next build; with ``python``, made fit to run."""
        key = hashlib.sha256((_inputs(packages)).encode()).hexdigest()[:24]
        root = self._cache / "roots" / f"{name}-{key}"
        if not root.exists():
            partial = site.clear(root.with_suffix(".partial"))
            rootfs.extract(packages, partial)
            if python:
                rootfs.certificate_bundle(partial)
                libc = self._root("libc", self.libc_packages())
                Interpreter(python, libc, partial).compile(
                    partial / f"usr/lib/python{python}", f"/usr/lib/python{python}"
                )
                Interpreter(python, libc, partial).compile(partial / "usr/lib/python3", "/usr/lib/python3")
            partial.rename(root)
        return root


def _inputs(packages: Iterable[Package]) -> str:
    """What a layer of these packages depends on: their versions, and how this package makes layers of them."""
    recipe = "".join(
        inspect.getsource(module) for module in (interpreter, rootfs, site, sys.modules[__name__])
    )
    return recipe + "".join(sorted(f"{package.name}_{package.version}\n" for package in packages))
