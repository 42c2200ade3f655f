"""The certificates of one host on disk.

A host makes its own private keys and never gives them away: it asks (:meth:`HostFiles.requests`), the holder of
the authorities signs (:func:`sign_all`), the host installs (:meth:`HostFiles.install`). Keys of requests under
way wait in ``pki/pending``, so a run that was interrupted goes on with the same key. Every file is replaced
atomically; keys and kubeconfigs are 0600.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kdist.pki import issue, plan
from kdist.pki.disk import write as write  # also for those who write beside a host's files
from kdist.pki.issue import Pair
from kdist.pki.plan import AuthoritySpec, Cluster, Host, LeafSpec


@dataclass(frozen=True, slots=True)
class Secrets:
    """What control planes share: every authority with its key, and the service-account pair."""

    authorities: Mapping[str, Pair]
    service_account_key: bytes
    service_account_public_key: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A leaf that must be issued: the request, and why what is there does not serve."""

    request: bytes
    reason: str


class HostFiles:
    """The files under ``root`` (``/`` on a host, a directory in tests and `kdist dev`)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def path(self, place: PurePosixPath, suffix: str = "") -> Path:
        """Where a planned place is on this disk."""
        return self._root / f"{place}{suffix}".lstrip("/")

    def _read(self, place: PurePosixPath, suffix: str = "") -> bytes | None:
        try:
            return self.path(place, suffix).read_bytes()
        except FileNotFoundError:
            return None

    def authority(self, spec: AuthoritySpec) -> Pair | None:
        """An authority with its key, or None when either is missing."""
        certificate, key = self._read(spec.path, ".crt"), self._read(spec.path, ".key")
        return Pair(certificate, key) if certificate and key else None

    def missing_secrets(self) -> list[str]:
        """Names of the shared secrets that are not here."""
        missing = [spec.name for spec in plan.AUTHORITIES if self.authority(spec) is None]
        return missing if self._read(plan.SERVICE_ACCOUNT_KEY) else [*missing, "service-account key"]

    def ensure_secrets(
        self,
        given: Mapping[str, Pair] | None = None,
        lifetime: datetime.timedelta = plan.AUTHORITY_LIFETIME,
    ) -> tuple[Secrets, list[str]]:
        """The shared secrets, made where they are missing; and the names of those made.

        ``given``: authorities that the operator brings, used where there is none yet.

        Raises FileExistsError when an authority's certificate is there without its key: making another one
        would turn every certificate of the cluster into waste, so a person has to decide.
        """
        made = []
        for spec in plan.AUTHORITIES:
            if self.authority(spec) is None:
                if self._read(spec.path, ".crt"):
                    raise FileExistsError(
                        f"{self.path(spec.path, '.crt')} exists but its key does not: "
                        "restore the key from a backup or from another control plane"
                    )
                mine = (given or {}).get(spec.name)
                self._write_pair(spec.path, mine or issue.create_authority(spec, lifetime))
                made.append(spec.name)
        if self._read(plan.SERVICE_ACCOUNT_KEY) is None:
            private, public = issue.service_account_pair()
            write(self.path(plan.SERVICE_ACCOUNT_KEY), private, 0o600)
            write(self.path(plan.SERVICE_ACCOUNT_PUBLIC_KEY), public, 0o644)
            made.append("service-account key")
        return self.secrets(), made

    def secrets(self) -> Secrets:
        """The shared secrets of this host. FileNotFoundError names what is missing."""
        if missing := self.missing_secrets():
            raise FileNotFoundError(f"not on this host: {', '.join(missing)}")
        return Secrets(
            {spec.name: pair for spec in plan.AUTHORITIES if (pair := self.authority(spec))},
            self.path(plan.SERVICE_ACCOUNT_KEY).read_bytes(),
            self.path(plan.SERVICE_ACCOUNT_PUBLIC_KEY).read_bytes(),
        )

    def _write_pair(self, place: PurePosixPath, pair: Pair) -> bool:
        key = write(self.path(place, ".key"), pair.key, 0o600)
        return write(self.path(place, ".crt"), pair.certificate, 0o644) or key

    def _present(self, leaf: LeafSpec) -> Pair | None:
        if leaf.kubeconfig is not None:
            text = self._read(leaf.kubeconfig)
            return issue.pair_of_kubeconfig(text) if text else None
        if leaf.combined is not None:
            both = self._read(leaf.combined)
            return issue.split(both) if both else None
        assert leaf.path is not None  # a leaf has one of the three
        certificate, key = self._read(leaf.path, ".crt"), self._read(leaf.path, ".key")
        return Pair(certificate, key) if certificate and key else None

    def _pending(self, leaf: LeafSpec) -> PurePosixPath:
        return plan.PKI_DIR / "pending" / f"{leaf.name}.key"

    def _fault(
        self,
        leaf: LeafSpec,
        authorities: Mapping[str, bytes],
        renew_issued_before: datetime.datetime | None = None,
    ) -> str | None:
        try:
            present = self._present(leaf)
        except ValueError as error:
            return str(error)
        if present is None:
            return "missing"
        return issue.fault(
            leaf, present, authorities[leaf.authority], renew_issued_before=renew_issued_before
        )

    def joins(self, host: Host, authority: bytes) -> str | None:
        """Why the agent of ``host`` needs a bootstrap token; None while its own certificate serves.

        One of any authority in the bundle does: the agent renews it by itself once its authority is not the first.
        """
        faults = [self._fault(plan.node_client(host), {"ca": one}) for one in issue.bundle(authority)]
        return None if None in faults else faults[0]

    def bootstrap_token(self) -> str:
        """The token that the agent was given and has not used yet; empty when there is none."""
        text = self._read(plan.BOOTSTRAP_KUBECONFIG)
        return issue.token_of_kubeconfig(text) if text else ""

    def ask_agent(self, renew_issued_before: datetime.datetime) -> bool:
        """Have the agent renew what it was issued before the moment; False when it was asked already."""
        text = f"{renew_issued_before.timestamp():.0f}\n"
        return write(self.path(plan.NODE_RENEWAL_FILE), text.encode(), 0o600)

    def requests(
        self,
        cluster: Cluster,
        host: Host,
        authorities: Mapping[str, bytes],
        *,
        dry_run: bool = False,
        renew_issued_before: datetime.datetime | None = None,
    ) -> dict[str, Wanted]:
        """What must be issued for this host: leaf name to request and reason.

        Valid leaves are kept, but for those issued before the moment given.
        """
        wanted = {}
        for leaf in plan.leaves(cluster, host):
            if reason := self._fault(leaf, authorities, renew_issued_before):
                key = self._read(self._pending(leaf)) or issue.new_key()
                if not dry_run:
                    write(self.path(self._pending(leaf)), key, 0o600)
                wanted[leaf.name] = Wanted(issue.request(leaf, key), reason)
        return wanted

    def install(
        self,
        cluster: Cluster,
        host: Host,
        signed: Mapping[str, bytes],
        authorities: Mapping[str, bytes],
        secrets: Secrets | None,
        token: str | None = None,
    ) -> list[str]:
        """Put authorities, signed leaves and kubeconfigs in place; the names of what changed.

        ``secrets`` is for control planes only, a bootstrap ``token`` for workers that join. A signed leaf without
        its pending key raises FileNotFoundError.
        """
        changed = []
        for spec in plan.trusted_authorities(host):
            if secrets:
                differs = self._write_pair(spec.path, secrets.authorities[spec.name])
            else:
                differs = write(self.path(spec.path, ".crt"), authorities[spec.name], 0o644)
            changed += [spec.name] if differs else []
        if secrets:
            key = write(self.path(plan.SERVICE_ACCOUNT_KEY), secrets.service_account_key, 0o600)
            public = write(
                self.path(plan.SERVICE_ACCOUNT_PUBLIC_KEY), secrets.service_account_public_key, 0o644
            )
            changed += ["service-account key"] if key or public else []
        for leaf in plan.leaves(cluster, host):
            if self._install_leaf(cluster, host, leaf, signed.get(leaf.name), authorities):
                changed.append(leaf.name)
        return changed + self._install_agent(cluster, host, authorities[plan.CLUSTER_CA.name], token)

    def _install_agent(self, cluster: Cluster, host: Host, authority: bytes, token: str | None) -> list[str]:
        """The agent's kubeconfigs: its own names the file that it keeps, the other holds a token to join by."""
        user, urls = plan.node_client(host).common_name, plan.servers(cluster, host)
        files = {plan.NODE_KUBECONFIG: issue.by_file(str(plan.NODE_CLIENT_FILE))}
        if token is not None and not host.control_plane and self.joins(host, authority):
            files[plan.BOOTSTRAP_KUBECONFIG] = {"token": token}
        return [
            path.name
            for path, credentials in files.items()
            if write(
                self.path(path), issue.kubeconfig(cluster.name, user, urls, authority, credentials), 0o600
            )
        ]

    def _install_leaf(
        self,
        cluster: Cluster,
        host: Host,
        leaf: LeafSpec,
        certificate: bytes | None,
        cas: Mapping[str, bytes],
    ) -> bool:
        pending = self.path(self._pending(leaf))
        pair = Pair(certificate, pending.read_bytes()) if certificate else self._present(leaf)
        if pair is None:
            raise FileNotFoundError(f"{leaf.name}: neither signed nor already on {host.name}")
        if leaf.kubeconfig is not None:
            urls = plan.servers(cluster, host, leaf)
            text = issue.kubeconfig(cluster.name, leaf.common_name, urls, cas[leaf.authority], pair)
            changed = write(self.path(leaf.kubeconfig), text, 0o600)
        elif leaf.combined is not None:
            changed = write(self.path(leaf.combined), pair.certificate.rstrip() + b"\n" + pair.key, 0o600)
        else:
            assert leaf.path is not None  # a leaf has one of the three
            changed = self._write_pair(leaf.path, pair)
        pending.unlink(missing_ok=True)
        return changed


def sign_all(
    cluster: Cluster, host: Host, requests: Mapping[str, bytes], authorities: Mapping[str, Pair]
) -> dict[str, bytes]:
    """Sign one host's requests. Raises RequestRefused for a name the host's plan does not have."""
    planned = {leaf.name: leaf for leaf in plan.leaves(cluster, host)}
    signed = {}
    for name, csr in requests.items():
        if name not in planned:
            raise issue.RequestRefused(f"{host.name} asks for {name!r}, which its plan does not have")
        leaf = planned[name]
        signed[name] = issue.sign(leaf, csr, authorities[leaf.authority], cluster.leaf_lifetime)
    return signed


def provision(root: Path, cluster: Cluster, host: Host) -> list[str]:
    """Everything for one host that is its own authority (`kdist dev`, tests); the names of what changed."""
    files = HostFiles(root)
    secrets, made = files.ensure_secrets(lifetime=cluster.authority_lifetime)
    certificates = {name: pair.certificate for name, pair in secrets.authorities.items()}
    wanted = files.requests(cluster, host, certificates)
    signed = sign_all(cluster, host, {n: w.request for n, w in wanted.items()}, secrets.authorities)
    return made + files.install(cluster, host, signed, certificates, secrets)
