"""Who takes part in a write beside storage: the one who acts, admission, the keys that live with an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from kdist.api.meta import Obj
from kdist.apiserver.admission import Request as AdmissionRequest
from kdist.apiserver.admission.base import unheard, unrecorded
from kdist.apiserver.authn.user import LOOPBACK, User


@dataclass(frozen=True, slots=True)
class Act:
    """Who writes, and how: the parts of a request that the pipeline needs."""

    user: User = LOOPBACK
    dry_run: bool = False
    manager: str = "kube-apiserver"
    applies: bool = False  # a server-side apply: it has done its own field management
    warn: Callable[[str], None] = unheard  # where admission's warnings go
    annotate: Callable[[str, str], None] = unrecorded  # where its annotations for the audit log go


#: What the server does for its own sake.
BY_SERVER = Act()


class Admission(Protocol):
    """The plug-in chain as the pipeline sees it."""

    async def admit(self, request: AdmissionRequest) -> None:
        """Complete the object or refuse."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse the finished object or not."""


class Companions(Protocol):
    """Keys that live and die with an object, such as a Service's claims on its addresses."""

    async def allocate(self, new: Obj, old: Obj | None, *, dry_run: bool = False) -> Mapping[str, bytes]:
        """Complete ``new``, which nobody judged yet; the keys that must not exist, with their values. ApiError."""

    def released(self, new: Obj | None, old: Obj) -> list[str]:
        """The keys that ``old`` has and ``new`` has not."""

    def taken(self, key: str) -> None:
        """Storage refused ``key``: somebody else has it."""


class _NoAdmission:
    async def admit(self, request: AdmissionRequest) -> None:
        pass

    async def validate(self, request: AdmissionRequest) -> None:
        pass


NO_ADMISSION = _NoAdmission()
