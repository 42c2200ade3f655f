"""What a host tells of itself: manifests with file and line, quantiles, and errors as answers."""

from __future__ import annotations

from typing import Any

import pytest

from kdist.lifecycle.care import hostfacts

POD = "kind: Pod\nmetadata: {name: etcd}\nspec:\n  containers: [{name: etcd, image: 'localhost/etcd:3'}]\n"


def test_a_manifest_gives_name_and_images() -> None:
    assert hostfacts.manifest(POD) == {"name": "etcd", "images": ["localhost/etcd:3"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: [\n", "line 3: "),
        ("kind: Pod\n\tmetadata: {}\n", "line 2: "),
        ("", "line 1: it is empty"),
        ("just text", "line 1: it is no mapping"),
        ("kind: Deployment\n", "line 1: kind is 'Deployment', not Pod"),
        ("kind: Pod\nmetadata: {name: x}\nspec: {}\n", "metadata.name and spec.containers are needed"),
    ],
)
def test_a_broken_manifest_is_told_by_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="line") as error:
        hostfacts.manifest(text)
    assert told in str(error.value)


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    counts = {"0.001": 10, "0.008": 98, "0.016": 99, "0.032": 100, "+Inf": 100}
    metrics = "".join(f'x_bucket{{le="{bound}"}} {count}\n' for bound, count in counts.items())
    assert hostfacts.quantile(metrics, "x", 0.99) == 0.016
    assert hostfacts.quantile(metrics, "x", 0.5) == 0.008
    assert hostfacts.quantile("", "x", 0.5) is None
    assert hostfacts.quantile('x_bucket{le="+Inf"} 0\n', "x", 0.5) is None


def test_both_forms_of_etcdctl_errors_are_read() -> None:
    old = '{"level":"warn","msg":"retrying"}\nError: context deadline exceeded\n'
    assert hostfacts.etcdctl_error(old) == "context deadline exceeded"
    assert hostfacts.etcdctl_error('{"level":"warn","error":"no leader"}') == "no leader"


def test_a_part_that_fails_is_an_answer() -> None:
    def fails(reason: str) -> Any:
        raise OSError(reason)

    assert hostfacts.told(fails, "no room") == {"error": "OSError: no room"}
