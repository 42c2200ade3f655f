"""What differs between two bundles, and what must travel."""

from __future__ import annotations

from kdist.lifecycle.bundle.diff import compare
from kdist.lifecycle.bundle.manifest import NODE, OPERATOR, Entry, HostRelease, ImageEntry, Manifest


def manifest(version: str, runc: str, packages: dict[str, str], kdist: str, wheel: str) -> Manifest:
    files = {
        **{
            f"debs/bookworm/node/{name}_{v}_amd64.deb": Entry(f"{name}{v}", 10, NODE, "bookworm")
            for name, v in {"runc": runc, **packages}.items()
        },
        f"images/blobs/sha256/{kdist}": Entry(kdist, 100, NODE),
        f"wheels/click-{wheel}-py3-none-any.whl": Entry(f"click{wheel}", 5, OPERATOR),
    }
    return Manifest(
        version,
        "bookworm",
        "1.32",
        (ImageEntry(f"localhost/kdist:{version}", f"sha256:{kdist}", NODE, 1000),),
        {
            "bookworm": HostRelease(
                "3.11", (f"images/blobs/sha256/{kdist}",), {"node": {"runc": runc, **packages}}
            )
        },
        files=files,
    )


OLD = manifest("1", "1.1", {"socat": "1"}, "aa", "8.1")
NEW = manifest("2", "1.2", {"jq": "7"}, "bb", "8.1")


def test_the_same_bundle_differs_in_nothing_and_nothing_travels() -> None:
    found = compare(OLD, OLD)
    assert (found.changes, dict(found.travels)) == ((), {})


def test_every_kind_of_change_is_told_with_versions_and_sizes() -> None:
    found = {(c.kind, c.name): (c.action, c.before, c.after, c.size) for c in compare(OLD, NEW).changes}
    assert found == {
        ("package", "runc"): ("changed", "1.1", "1.2", 10),
        ("package", "socat"): ("removed", "1", None, 10),
        ("package", "jq"): ("added", None, "7", 10),
        ("image", "localhost/kdist"): ("changed", "1", "2", 1000),
        ("tree", "python"): ("changed", "1", "2", 100),
    }


def test_the_same_version_with_other_content_is_rebuilt() -> None:
    found = compare(OLD, manifest("1", "1.1", {"socat": "1"}, "cc", "8.1"))
    assert {(c.name, c.action) for c in found.changes} == {
        ("localhost/kdist", "rebuilt"),
        ("python", "rebuilt"),
    }


def test_what_travels_is_content_the_old_bundle_does_not_have() -> None:
    told = compare(OLD, NEW).to_json()
    assert told["travels"] == {
        "files": {
            "debs/bookworm/node/jq_7_amd64.deb": 10,
            "debs/bookworm/node/runc_1.2_amd64.deb": 10,
            "images/blobs/sha256/bb": 100,
        },
        "bytes": 120,
        "of": 125,
    }
