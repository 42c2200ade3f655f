"""Warnings of volumes whose items overwrite each other."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.meta import Obj

_Place = tuple[str, str]  # a path, and where it comes from


def of_overlaps(volumes: list[Obj]) -> Iterator[str]:
    """For volumes that put two items at one path, or one below the other."""
    for volume in volumes:
        name = volume.get("name") or ""
        for kind, told, called in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ):
            source = volume.get(kind)
            if source is not None and len(source.get("items") or ()) > 1:
                what = f'{told} "{source.get(called) or ""}"' if called else told
                for overlap in _overlaps([[(_path(item), "") for item in source["items"]]]):
                    yield f'volume "{name}" ({what}): overlapping paths: {overlap}'
        if (projected := volume.get("projected")) is not None:
            yield from _of_projected(projected.get("sources") or [], name)


def _of_projected(sources: list[Obj], name: str) -> Iterator[str]:
    groups: list[list[_Place]] = []
    for source in sources:
        if not source:
            yield f'volume "{name}" (Projected) has no sources provided'
            continue
        places = _places(source)
        # As upstream does: a source that names no paths is taken for the one before it.
        groups.append(places if places is not None else groups[-1] if groups else [])
    for overlap in _overlaps(groups):
        yield f'volume "{name}" (Projected): overlapping paths: {overlap}'


def _places(source: Obj) -> list[_Place] | None:
    for kind, told in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if items := (source.get(kind) or {}).get("items"):
            return [(_path(item), f'{told} "{source[kind].get("name") or ""}"') for item in items]
    if items := (source.get("downwardAPI") or {}).get("items"):
        return [(_path(item), "DownwardAPI") for item in items]
    if (token := source.get("serviceAccountToken")) is not None:
        return [(_path(token), "ServiceAccountToken")]
    if (bundle := source.get("clusterTrustBundle")) is not None:
        named = bundle.get("name") or bundle.get("signerName") or ""
        return [(_path(bundle), f'ClusterTrustBundle "{named}"')]
    return None


def _path(item: Obj) -> str:
    return (item.get("path") or "").rstrip("/")


def _overlaps(groups: list[list[_Place]]) -> Iterator[str]:
    seen: list[_Place] = []
    for group in groups:
        for place in group:
            for other in seen:
                if place[0] and other[0] and _meet(place[0], other[0]):
                    yield f"{_shown(place)} with {_shown(other)}"
            seen.append(place)


def _meet(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _shown(place: _Place) -> str:
    path, source = place
    return f'"{path}" ({source})' if source else f'"{path}"'
