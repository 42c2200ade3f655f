"""What the agent tells about the certificates of its host."""

from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from kdist.agent.expiry import KEPT_SECONDS, Expiry
from kdist.pki import files, issue, plan

CLUSTER = plan.Cluster("test", "10.96.0.0/16", "cluster.local", ("10.0.0.1",))
HOST = plan.Host("cp1", "10.0.0.1", control_plane=True)


def exposed(expiry: Expiry) -> str:
    registry = CollectorRegistry()
    registry.register(expiry)
    return generate_latest(registry).decode()


def test_every_certificate_is_a_series_with_its_end(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, HOST)
    lines = exposed(Expiry(tmp_path)).splitlines()
    (line,) = (line for line in lines if "pki/apiserver.crt" in line)
    assert 'issuer="ca"' in line
    assert 'subject="CN=kube-apiserver"' in line
    end = plan.LEAF_LIFETIME.total_seconds()
    made = (tmp_path / "etc/kubernetes/pki/apiserver.crt").stat().st_mtime
    assert abs(float(line.rpartition(" ")[2]) - made - end) < 5
    assert any('path="/etc/kubernetes/pki/etcd/ca.crt"' in line for line in lines)
    assert any('path="/etc/kubernetes/admin.conf"' in line for line in lines)


def test_a_renewed_certificate_is_seen_within_a_minute_and_damage_is_counted(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, HOST)
    now = 0.0
    expiry = Expiry(tmp_path, lambda: now)
    assert "kdist_certificate_unreadable_files 0.0" in exposed(expiry)
    (tmp_path / "etc/kubernetes/pki/apiserver.crt").write_text("gone")
    now += KEPT_SECONDS
    assert "kdist_certificate_unreadable_files 1.0" in exposed(expiry)


def test_warnings_name_what_is_near_its_end(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, HOST)
    made = (tmp_path / "etc/kubernetes/pki/apiserver.crt").stat().st_mtime
    assert Expiry(tmp_path, lambda: made).warnings() == []
    later = made + timedelta(days=340).total_seconds()
    told = Expiry(tmp_path, lambda: later).warnings()
    assert any(line.startswith("/etc/kubernetes/pki/apiserver.crt ends on") for line in told)
    assert not any("/ca.crt" in line for line in told)
    ended = made + timedelta(days=366).total_seconds()
    assert any(" ended on " in line for line in Expiry(tmp_path, lambda: ended).warnings())


def test_an_interrupted_writing_is_damage_and_no_crash(tmp_path: Path) -> None:
    place = tmp_path / "etc/kubernetes/admin.conf"
    place.parent.mkdir(parents=True)
    place.write_bytes(issue.new_key()[:20])
    assert "kdist_certificate_unreadable_files 1.0" in exposed(Expiry(tmp_path))


def test_the_agents_own_certificates_have_upstreams_names(tmp_path: Path) -> None:
    files.provision(tmp_path, CLUSTER, HOST)
    place = tmp_path / "var/lib/kubelet/pki/kubelet-server-current.pem"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((tmp_path / "etc/kubernetes/pki/apiserver.crt").read_bytes())
    (line,) = (
        line
        for line in exposed(Expiry(tmp_path)).splitlines()
        if line.startswith("kubelet_certificate_manager_server_ttl_seconds")
    )
    assert 364 * 86400 < float(line.split()[1]) <= 365 * 86400
