"""Bad input is reported whole, before any host is changed."""

from pathlib import Path

import yaml

from tests.e2e.conftest import NET, Cluster


def test_wrong_keys_networks_and_hosts_are_reported_together(cluster: Cluster, tmp_path: Path) -> None:
    inventory = yaml.safe_load((cluster.inventory / "hosts.yml").read_text())
    inventory["all"]["vars"] |= {"kdist_pod_cidr": "10.96.0.0/16", "kdist_dns_domian": "x"}
    inventory["all"]["children"]["kube_node"]["hosts"]["w9"] = {"ansible_host": f"{NET}.99"}
    broken = tmp_path / "hosts.yml"
    broken.write_text(yaml.safe_dump(inventory))
    before = cluster.ssh("w1", "find /etc /opt/kdist -xdev -newermt '-20 seconds' -type f | wc -l")
    told = cluster.playbook("-i", str(broken), "site.yml", check=False)
    assert "kdist_pod_cidr: 10.96.0.0/16 overlaps kdist_service_cidr 10.96.0.0/16" in told
    assert "kdist_dns_domian: unknown key; did you mean kdist_dns_domain?" in told
    assert f"w9: ansible_host: unreachable at {NET}.99" in told
    assert "Nothing was changed" in told
    after = cluster.ssh("w1", "find /etc /opt/kdist -xdev -newermt '-20 seconds' -type f | wc -l")
    assert int(after) <= int(before)
