"""What hosts of one Debian release need: packages, wheels, and the Python tree as layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import LEVELS
from kdist.config.bundle import HOST_PACKAGES
from kdist.lifecycle.bundle import closure, relations, wheels
from kdist.lifecycle.bundle.apt import ESSENTIAL, Apt, Package
from kdist.lifecycle.bundle.layers import Blob
from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, NODE, HostRelease
from kdist.lifecycle.bundle.parts import Parts

NODE_PACKAGES = (
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "ethtool",
    "iptables",
    "nftables",
    "runc",
    "socat",
)
CONTROL_PLANE_PACKAGES = ("etcd-client",)
# What only the control plane imports, two thirds of the Python tree: workers are spared it. What is not named here
# goes to every host; tests/unit/lifecycle/bundle/test_release.py holds the other components to it.
CONTROL_PLANE_WHEELS = frozenset(
    {
        "cel_expr_python",
        "fastapi",
        "google_re2",
        "kubernetes_validate",
        "numpy",
        "pydantic",
        "pydantic_core",
        "pynacl",
        "starlette",
    }
)
# The first Debian release with a kubectl package; it needs nothing but a C library, so it runs on 12 too.
KUBECTL_SUITE = "trixie"


@dataclass(frozen=True)
class Tree:
    """The layers of a Python tree: third-party packages of every host, those of control planes besides, and kdist."""

    shared: Blob
    control_plane: Blob
    kdist: Blob

    def of(self, role: str) -> tuple[Blob, ...]:
        """The layers of one role's tree, lowest first; kdist's says that the tree is complete, so it comes last."""
        return (self.shared, *([self.control_plane] if role == CONTROL_PLANE else []), self.kdist)

    def roles(self) -> dict[Blob, str]:
        """Layer → who needs it."""
        return {layer: NODE if layer in self.of(NODE) else CONTROL_PLANE for layer in self.of(CONTROL_PLANE)}


@dataclass(frozen=True)
class Release:
    """One suite with its parts; ``base`` is what its hosts are taken to have. ``wheels`` make the Python tree of hosts
    and images, ``operator_wheels`` are for the operator's machine besides."""

    suite: str
    parts: Parts
    base: dict[str, str]
    debs: dict[str, list[Package]]
    wheels: list[Path]
    operator_wheels: list[Path]

    def tree(self, checkout: Path, version: str) -> Tree:
        """The Python tree. On hosts of the images' suite its layers are image layers.

        Third-party packages, which are large, do not depend on the API level: an upgrade that moves it does not send
        them again.
        """
        wide = [wheel for wheel in self.wheels if wheel.name.partition("-")[0] in CONTROL_PLANE_WHEELS]
        slim = [wheel for wheel in self.wheels if wheel not in wide]
        return Tree(
            self.parts.dependencies("dependencies", slim, ()),
            self.parts.dependencies("control-plane", wide, tuple(LEVELS)),
            self.parts.kdist(checkout, version),
        )

    def described(self, layers: tuple[str, ...]) -> HostRelease:
        """As the manifest has it; ``layers`` are names of files in the bundle."""
        return HostRelease(
            python=wheels.PYTHONS[self.suite],
            site=layers,
            packages={
                role: {p.name: p.version for p in sorted(found, key=lambda p: p.name)}
                for role, found in self.debs.items()
            },
            base={name: self.base[name] for name in sorted(self._needed())},
        )

    def _needed(self) -> set[str]:
        """What of the base system the packages need."""
        debs = [package.path for found in self.debs.values() for package in found]
        return relations.direct(closure.controls(debs), self.base)


def fetch(cache: Path, suite: str, checkout: Path, *, images: bool, refresh: bool) -> Release:
    """Download all that one suite needs, with ``images`` the packages of the images too; making it needs no network."""
    parts = Parts(cache, suite, wheels.PYTHONS[suite], refresh=refresh)
    base = parts.base(ESSENTIAL, *HOST_PACKAGES)
    debs = _packages(parts, base, cache, refresh=refresh)
    parts.fetch(images=images)
    product = wheels.fetch(checkout, suite, cache)
    return Release(
        suite, parts, base, debs, product, wheels.fetch(checkout, suite, cache, wheels.OPERATOR_LOCK)
    )


def _packages(parts: Parts, base: dict[str, str], cache: Path, *, refresh: bool) -> dict[str, list[Package]]:
    """role → packages to install, without what every host has."""
    have = set(base)
    node = [package for package in parts.packages(*NODE_PACKAGES) if package.name not in have]
    have |= {package.name for package in node}
    control_plane = [
        package for package in parts.packages(*CONTROL_PLANE_PACKAGES) if package.name not in have
    ]
    kubectl = Apt(cache, KUBECTL_SUITE).closure(("kubectl",), refresh=refresh)
    control_plane += [package for package in kubectl if package.name == "kubectl"]
    return {NODE: node, CONTROL_PLANE: control_plane}
