"""Certificates that have ended or will soon."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.lifecycle.care.doctor.findings import Severity, Told, check, error, warning
from kdist.lifecycle.care.picture import Picture

DAY = 86400
# ``kdist pki expiry`` tells of the same days.
NEAR_DAYS = 30


@check("certificate-expired")
def expired(picture: Picture) -> Iterator[tuple[Severity, Told]]:
    """By the operator's clock: a host's own may be what is wrong."""
    for host, facts in picture.answering:
        listed = facts["certificates"]
        if not isinstance(listed, list):
            continue
        for certificate in listed:
            name = f"{host.name}: {certificate['name']}"
            mend = "kdist pki renew"
            if "error" in certificate:
                yield error(
                    name,
                    "cannot be read",
                    certificate["error"],
                    f"ansible-playbook site.yml --limit {host.name}",
                )
                continue
            left = (certificate["ends"] - picture.now) / DAY
            if left <= 0:
                yield error(name, f"ended {-left:.0f} days ago", certificate["subject"], mend)
            elif left < NEAR_DAYS:
                yield warning(name, f"ends in {left:.0f} days", certificate["subject"], mend)
