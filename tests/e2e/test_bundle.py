"""The bundle on real hosts: nothing that was altered or comes from others is installed; mirrors of registries serve."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from kdist.lifecycle.bundle import oci
from kdist.lifecycle.bundle.layers import Blob, LayerCache
from kdist.lifecycle.bundle.manifest import NODE
from tests.e2e.conftest import NET, ROOT, Cluster, changes, run

BUNDLE = ROOT / "dist/bundle"
GATEWAY, PORT = f"{NET}.1", 5055
# Snapshots of etcd are taken by a timer of the host's own.
CHANGED = (
    "find /etc /opt/kdist /var/lib/kdist -xdev -path /var/lib/kdist/etcd-snapshots -prune"
    " -o -newer /run/untouched -type f -print"
)


def flip(bundle: Path, pattern: str) -> str:
    """Flip a bit in the middle of one file of a copy made of hard links; which file."""
    path = sorted(bundle.glob(pattern))[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    return str(path.relative_to(bundle))


@contextlib.contextmanager
def copy() -> Iterator[Path]:
    """A copy of the bundle whose files may be replaced."""
    copied = BUNDLE.resolve().with_name("bundle-altered")
    shutil.rmtree(copied, ignore_errors=True)
    run(["cp", "-al", str(BUNDLE.resolve()), str(copied)])
    yield copied
    shutil.rmtree(copied)


def refused(cluster: Cluster, *arguments: str) -> str:
    """What site.yml said when it refused; no host was changed."""
    for host in ("cp1", "w1"):
        cluster.ssh(host, "touch /run/untouched")
    told = cluster.playbook("site.yml", *arguments, check=False)
    assert "Nothing was changed" in told
    assert {host: cluster.ssh(host, CHANGED) for host in ("cp1", "w1")} == {"cp1": "", "w1": ""}
    return " ".join(told.split())


ALTERED = "altered: {} (sha256 differs)"
UNFIT = "the signature in manifest.json.sig does not fit manifest.json"
FLIPS = {
    "debs/*/node/runc_*.deb": ALTERED,
    "images/index.json": ALTERED,
    "wheels/numpy-*.whl": ALTERED,
    "sbom.cdx.json": ALTERED,
    "manifest.json": UNFIT,
    "manifest.json.sig": UNFIT,
}


def test_one_flipped_bit_anywhere_is_refused_before_anything_changes(cluster: Cluster) -> None:
    for pattern, told in FLIPS.items():
        with copy() as copied:
            file = flip(copied, pattern)
            verify = ["kdist", "bundle", "verify", str(copied)]
            verified = subprocess.run(verify, capture_output=True, text=True, check=False, cwd=ROOT)
            assert verified.returncode == 1
            assert told.format(file) in verified.stdout + verified.stderr
            if pattern in ("debs/*/node/runc_*.deb", "manifest.json"):
                assert told.format(file) in refused(cluster, "--extra-vars", f"kdist_bundle={copied}")


def test_a_bundle_signed_with_another_key_or_none_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    recorded = (cluster.inventory / "bundle-key.txt").read_text().splitlines()[-1]
    assert recorded in run(["kdist", "bundle", "keygen"])
    foreign = run(["kdist", "bundle", "keygen", "--key", str(tmp_path / "key.pem")]).split()[-1]
    told = refused(cluster, "--extra-vars", f"kdist_bundle_key={foreign}")
    assert f"is signed with the key {recorded}, not with the trusted key {foreign}" in told
    with copy() as copied:
        (copied / "manifest.json.sig").unlink()
        told = refused(cluster, "--extra-vars", f"kdist_bundle={copied}")
    assert "is not signed: it has no manifest.json.sig" in told


def test_the_bundle_is_closed_and_says_what_it_is_made_of() -> None:
    assert "closed: whatever its packages, wheels and images need" in run(
        ["kdist", "bundle", "verify", "dist/bundle"]
    )
    document = json.loads(run(["kdist", "bundle", "sbom", "dist/bundle", "--output", "json"]))
    kinds = [c["properties"][0]["value"] for c in document["components"]]
    assert {"package", "wheel", "image", "kdist"} == set(kinds)
    difference = json.loads(
        run(["kdist", "bundle", "diff", "dist/bundle", "dist/bundle", "--output", "json"])
    )
    assert (difference["changes"], difference["travels"]["bytes"]) == ([], 0)


def test_a_hosts_share_verifies_on_the_host_itself(cluster: Cluster) -> None:
    for host, role in (("cp1", "control-plane"), ("w1", "node")):
        command = f"/opt/kdist/current/bin/kdist bundle verify /var/lib/kdist/bundle --role {role}"
        assert "all files are as built" in cluster.ssh(host, command)


def image(directory: Path) -> None:
    """An OCI layout with an image that no host has: busybox and one more layer."""
    index = json.loads((BUNDLE / "images/index.json").read_text())["manifests"]
    busybox = next(e for e in index if "/busybox:" in e["annotations"]["io.containerd.image.name"])
    described = json.loads((BUNDLE / "images" / blob(busybox["digest"])).read_text())
    found = [(BUNDLE / "images" / blob(layer["digest"])) for layer in described["layers"]]
    layer = LayerCache(directory).layer("own", "", lambda tar: tar.file("mirrored", b"from the mirror"))
    layers = (*(Blob(path, path.name, path.stat().st_size) for path in found), layer)
    built = oci.build(oci.Image("registry.example/team/own:1", layers, NODE, command=("sleep", "100000")))
    (directory / "blobs/sha256").mkdir(parents=True)
    for document in (built.config, built.manifest):
        (directory / "blobs/sha256" / document.digest).write_bytes(document.content)
    for one in layers:
        shutil.copy(one.path, directory / "blobs/sha256" / one.digest)
    (directory / "index.json").write_bytes(oci.index([built.index_entry]))


def blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


@contextlib.contextmanager
def registry(cluster: Cluster, directory: Path) -> Iterator[None]:
    """A registry in the lab's network that serves an OCI layout."""
    served = [str(Path(__file__).with_name("registry.py")), str(directory), GATEWAY, str(PORT)]
    command = [*cluster.inside("nsenter"), sys.executable, *served]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "serving\n"
        try:
            yield
        finally:
            process.terminate()


def mirrors(cluster: Cluster, path: Path, given: dict[str, object]) -> dict[str, dict[str, int]]:
    """Run the runtime's part of site.yml with these mirrors; what changed on each host."""
    path.write_text(yaml.safe_dump({"kdist_registry_mirrors": given}))
    tags = "always,preflight,runtime"
    return changes(cluster.playbook("site.yml", "--tags", tags, "--extra-vars", f"@{path}"))


def test_images_of_a_mirrored_registry_come_from_the_mirror(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    # The first mirror is not there: the second is asked, as the order says.
    given = {"registry.example": [f"http://{GATEWAY}:{PORT + 1}", f"http://{GATEWAY}:{PORT}"]}
    recap = mirrors(cluster, tmp_path / "mirrors.yml", given)
    assert {host: row["changed"] for host, row in recap.items()} == {"cp1": 1, "w1": 1, "w2": 1}
    image(tmp_path / "registry")
    with registry(cluster, tmp_path / "registry"):
        cluster.kubectl("run", "mirrored", "-n", namespace, "--image=registry.example/team/own:1")
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/mirrored", "--timeout=60s")
    assert cluster.kubectl("exec", "-n", namespace, "mirrored", "--", "cat", "/mirrored") == "from the mirror"
    recap = mirrors(cluster, tmp_path / "mirrors.yml", {})
    assert {row["changed"] for row in recap.values()} == {1}
    assert cluster.ssh("w1", "find /etc/containerd/certs.d -type f") == ""


def test_a_mirror_that_cannot_be_one_is_refused_with_its_key(cluster: Cluster) -> None:
    told = refused(cluster, "--extra-vars", '{"kdist_registry_mirrors": {"docker.io": "mirror"}}')
    assert "all: kdist_registry_mirrors: docker.io: 'mirror' is no URL such as" in told
