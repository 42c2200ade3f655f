from pathlib import Path

import pytest

from kdist.client.kubeconfig import KubeconfigError, entry, load

TEXT = """
current-context: c
contexts: [{name: c, context: {cluster: k, user: u, namespace: n}}]
clusters:
- name: k
  cluster:
    server: http://vip:6443
    extensions: [{name: kdist.io/servers, extension: {servers: ["http://a:1/", "http://b:1"]}}]
users: [{name: u, user: {tokenFile: token}}]
"""


def test_several_servers_come_from_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(TEXT)
    access = load(path)
    assert access.servers == ("http://a:1", "http://b:1")
    assert (access.namespace, access.token_file) == ("n", tmp_path / "token")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("user: u,", "user: x,", 'there is no entry named "x"'),
        ("current-context: c", "current-context: d", 'there is no entry named "d"'),
        ("users: ", "[", "while scanning"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "config"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(KubeconfigError, match=told):
        load(path)


def test_the_servers_of_a_kubeconfig_without_user_are_read() -> None:
    text = """
clusters:
  - name: ""
    cluster:
      server: https://10.0.0.100:6443
      extensions: [{name: kdist.io/servers, extension: {servers: ["https://10.0.0.1:6443"]}}]
"""
    assert entry(text) == ("https://10.0.0.100:6443", ("https://10.0.0.1:6443",))


@pytest.mark.parametrize(
    "text", ["", "clusters: []", "clusters: [{cluster: {}}]", "[", "clusters: [{cluster: 1}]"]
)
def test_a_kubeconfig_without_servers_is_refused(text: str) -> None:
    with pytest.raises(KubeconfigError):
        entry(text)
