"""The PKI: what is planned, what is kept, what is issued anew, and what is refused."""

import dataclasses
import datetime
from pathlib import Path

import pytest
from cryptography import x509

from kdist.pki import files, issue, plan

CLUSTER = plan.Cluster("test", "10.96.0.0/16", "cluster.local", ("10.0.0.1", "10.0.0.2"))
CONTROL_PLANE = plan.Host("cp1", "10.0.0.1", control_plane=True)
WORKER = plan.Host("w1", "10.0.0.9", control_plane=False)


def leaf(name: str, host: plan.Host = CONTROL_PLANE, cluster: plan.Cluster = CLUSTER) -> plan.LeafSpec:
    return next(found for found in plan.leaves(cluster, host) if found.name == name)


def test_api_server_answers_to_every_name_clients_use() -> None:
    hosts = leaf("apiserver").hosts
    assert {"kubernetes.default.svc.cluster.local", "10.96.0.1", "10.0.0.1", "127.0.0.1", "cp1"} <= set(hosts)


def test_of_a_dual_stack_cluster_the_second_addresses_are_named_too() -> None:
    cluster = dataclasses.replace(CLUSTER, service_cidr="10.96.0.0/16,fd00:96::/112")
    host = dataclasses.replace(CONTROL_PLANE, address6="fd00::1")
    hosts = leaf("apiserver", host, cluster).hosts
    assert {"10.96.0.1", "fd00:96::1", "10.0.0.1", "fd00::1"} <= set(hosts)
    assert plan.servers(cluster, host) == plan.servers(CLUSTER, CONTROL_PLANE)


def test_a_worker_asks_the_cluster_for_its_certificates_and_trusts_one_authority() -> None:
    assert plan.leaves(CLUSTER, WORKER) == ()
    assert [a.name for a in plan.trusted_authorities(WORKER)] == ["ca"]


def test_control_plane_tries_its_own_api_server_first() -> None:
    second = plan.Host("cp2", "10.0.0.2", control_plane=True)
    assert plan.servers(CLUSTER, second) == ("https://10.0.0.2:6443", "https://10.0.0.1:6443")


def test_people_reach_the_virtual_address_first_and_its_holder_only_its_own_server() -> None:
    cluster = dataclasses.replace(CLUSTER, api_vip="10.0.0.100")
    host = plan.Host("cp2", "10.0.0.2", True)
    leaves = {leaf.name: leaf for leaf in plan.leaves(cluster, host)}
    assert "10.0.0.100" in leaves["apiserver"].hosts
    assert plan.servers(cluster, host, leaves["admin"])[0] == "https://10.0.0.100:6443"
    assert plan.servers(cluster, host, leaves["vip"]) == ("https://10.0.0.2:6443",)
    assert plan.servers(cluster, host, leaves["scheduler"])[0] == "https://10.0.0.2:6443"
    assert "vip" not in {leaf.name for leaf in plan.leaves(CLUSTER, host)}


def test_second_run_keeps_everything(tmp_path: Path) -> None:
    assert "apiserver" in files.provision(tmp_path, CLUSTER, CONTROL_PLANE)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files.provision(tmp_path, CLUSTER, CONTROL_PLANE) == []
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_private_files_are_readable_by_root_only(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, CONTROL_PLANE)
    private = [p for p in tmp_path.rglob("*") if p.suffix in (".key", ".conf")]
    assert len(private) > 10
    assert {p.stat().st_mode & 0o777 for p in private} == {0o600}


def test_added_name_renews_just_the_leaf_that_needs_it(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, CONTROL_PLANE)
    wider = plan.Cluster(
        "test", "10.96.0.0/16", "cluster.local", CLUSTER.api_servers, extra_sans=("api.example",)
    )
    assert files.provision(tmp_path, wider, CONTROL_PLANE) == ["apiserver"]


def test_lost_authority_key_is_reported_not_replaced(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, CONTROL_PLANE)
    (tmp_path / "etc/kubernetes/pki/ca.key").unlink()
    with pytest.raises(FileExistsError, match=r"ca\.crt exists but its key does not"):
        files.HostFiles(tmp_path).ensure_secrets()


def test_interrupted_request_goes_on_with_the_same_key(tmp_path: Path) -> None:
    authorities = {a.name: issue.create_authority(a).certificate for a in plan.AUTHORITIES}
    host = files.HostFiles(tmp_path)
    first = host.requests(CLUSTER, CONTROL_PLANE, authorities)
    again = host.requests(CLUSTER, CONTROL_PLANE, authorities)
    keys = [x509.load_pem_x509_csr(r["kubelet"].request).public_key() for r in (first, again)]
    assert keys[0] == keys[1]


def test_host_cannot_obtain_another_identity() -> None:
    authority = issue.create_authority(plan.CLUSTER_CA)
    forged = issue.request(leaf("super-admin"), issue.new_key())
    with pytest.raises(issue.RequestRefused, match="is not system:kube-scheduler"):
        issue.sign(leaf("scheduler"), forged, authority)
    with pytest.raises(issue.RequestRefused, match="asks for 'super-admin'"):
        files.sign_all(CLUSTER, WORKER, {"super-admin": forged}, {"ca": authority})


@pytest.mark.parametrize(
    ("days", "expected"), [(0, None), (200, None), (300, "expires on"), (400, "expired on")]
)
def test_leaf_is_renewed_before_it_expires(days: int, expected: str | None) -> None:
    authority = issue.create_authority(plan.CLUSTER_CA)
    pair = issue.issue(leaf("scheduler"), authority)
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    told = issue.fault(leaf("scheduler"), pair, authority.certificate, now=then)
    assert (told and " ".join(told.split()[:2])) == expected


def test_a_short_life_is_renewed_in_its_last_quarter_and_not_at_every_run() -> None:
    authority, kubelet = issue.create_authority(plan.CLUSTER_CA), leaf("scheduler")
    hour = datetime.timedelta(hours=1)
    pair = issue.Pair(
        issue.sign(kubelet, issue.request(kubelet, key := issue.new_key()), authority, hour), key
    )
    now = datetime.datetime.now(datetime.UTC)
    assert issue.fault(kubelet, pair, authority.certificate, now=now + hour / 2) is None
    assert "expires" in str(issue.fault(kubelet, pair, authority.certificate, now=now + 0.9 * hour))


def test_renewal_that_is_asked_for_renews_once() -> None:
    authority, kubelet = issue.create_authority(plan.CLUSTER_CA), leaf("scheduler")
    asked = datetime.datetime.now(datetime.UTC)
    later = asked + datetime.timedelta(seconds=2)
    pair = issue.issue(kubelet, authority)
    assert (
        issue.fault(kubelet, pair, authority.certificate, renew_issued_before=asked.replace(microsecond=0))
        is None
    )
    assert (
        issue.fault(kubelet, pair, authority.certificate, renew_issued_before=later)
        == "renewal was asked for"
    )


def test_a_leaf_that_ends_with_its_authority_is_kept_to_the_end() -> None:
    authority = issue.create_authority(plan.CLUSTER_CA, datetime.timedelta(days=10))
    kubelet = leaf("scheduler")
    pair = issue.issue(kubelet, authority)
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9)
    assert issue.fault(kubelet, pair, authority.certificate, now=then) is None


def test_an_authority_that_has_ended_signs_nothing_and_says_what_to_do() -> None:
    authority = issue.create_authority(plan.CLUSTER_CA, datetime.timedelta(seconds=-1))
    with pytest.raises(issue.RequestRefused, match="kdist pki rotate --authority ca"):
        issue.issue(leaf("scheduler"), authority)


def test_an_intermediate_goes_along_with_its_leaves() -> None:
    root = issue.create_authority(plan.AuthoritySpec("root", "Example root", plan.PKI_DIR / "root"))
    intermediate = issue.create_intermediate(plan.CLUSTER_CA, root)
    sent = x509.load_pem_x509_certificates(issue.issue(leaf("apiserver"), intermediate).certificate)
    assert [found.issuer.rfc4514_string() for found in sent] == ["CN=kubernetes", "CN=Example root"]


def test_certificate_of_a_former_authority_is_faulty() -> None:
    old, new = issue.create_authority(plan.CLUSTER_CA), issue.create_authority(plan.CLUSTER_CA)
    pair = issue.issue(leaf("scheduler"), old)
    assert issue.fault(leaf("scheduler"), pair, new.certificate) == "not issued by the present authority ca"


def test_a_worker_gets_a_token_only_while_it_has_no_certificate(tmp_path: Path) -> None:
    host, authority = files.HostFiles(tmp_path), issue.create_authority(plan.CLUSTER_CA)
    authorities = {"ca": authority.certificate}
    bootstrap = host.path(plan.BOOTSTRAP_KUBECONFIG)
    assert host.joins(WORKER, authority.certificate) == "missing"
    assert host.bootstrap_token() == ""
    host.install(CLUSTER, WORKER, {}, authorities, None, "abcdef.0123456789abcdef")
    assert host.bootstrap_token() == "abcdef.0123456789abcdef"
    assert b"client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem" in (
        host.path(plan.NODE_KUBECONFIG).read_bytes()
    )
    bootstrap.unlink()
    own = issue.issue(plan.node_client(WORKER), authority)
    host.path(plan.NODE_CLIENT_FILE).parent.mkdir(parents=True)
    host.path(plan.NODE_CLIENT_FILE).write_bytes(own.certificate + own.key)
    assert host.joins(WORKER, authority.certificate) is None
    assert host.install(CLUSTER, WORKER, {}, authorities, None, "abcdef.0123456789abcdef") == []
    assert not bootstrap.exists()


def test_an_agents_certificate_is_its_own_to_renew_until_it_has_ended() -> None:
    authority = issue.create_authority(plan.CLUSTER_CA)
    mine = plan.node_client(CONTROL_PLANE)
    pair = issue.issue(mine, authority)
    last = issue.x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
    assert issue.fault(mine, pair, authority.certificate, now=last - datetime.timedelta(days=1)) is None
    assert issue.fault(mine, pair, authority.certificate, now=last + datetime.timedelta(days=1))


def test_certificate_and_key_of_one_file_are_told_apart() -> None:
    pair = issue.issue(plan.node_client(WORKER), issue.create_authority(plan.CLUSTER_CA))
    assert issue.split(pair.certificate + pair.key) == pair
    with pytest.raises(ValueError, match="does not hold a certificate and its key"):
        issue.split(pair.certificate)
