from pathlib import Path

import pytest

from kdist.client.kubeconfig import KubeconfigError, load

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
