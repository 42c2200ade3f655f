"""What an admission plug-in is: one tiny module with the resources it looks at and up to two steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from kdist.api import meta
from kdist.api.errors import Forbidden
from kdist.api.kinds import Kind
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz.attributes import forbidden_because
from kdist.apiserver.ports import Obj

Operation = Literal["create", "update", "delete", "connect"]
WRITES: frozenset[Operation] = frozenset({"create", "update"})
CREATE: frozenset[Operation] = frozenset({"create"})
UPDATE: frozenset[Operation] = frozenset({"update"})
CHANGES: frozenset[Operation] = frozenset({"create", "update", "delete"})
ALL: frozenset[Operation] = CHANGES | {"connect"}

# (group, resource or resource/subresource)
Target = tuple[str, str]


def unheard(text: str) -> None:
    """Where warnings go when nobody waits for an answer."""


def unrecorded(key: str, value: str) -> None:
    """Where annotations for the audit log go when nobody keeps one."""


def undefaulted(obj: Obj) -> None:
    """What defaulting comes to where there is no strategy."""


@dataclass(slots=True)
class Rounds:
    """How webhooks that change objects are asked again, once, when something changed after them.

    ``earlier`` are the hooks asked so far that want that, ``due`` those that will be; ``output`` is the object
    as the first round of webhooks left it; ``again`` asks for the second round of the whole chain.
    """

    second: bool = False
    again: bool = False
    earlier: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    output: bytes = b""
    #: The same of policies that mutate, apart from the webhooks after them.
    policies: set[str] = field(default_factory=set)
    policies_due: set[str] = field(default_factory=set)
    policy_output: bytes = b""


@dataclass(slots=True, kw_only=True)
class Request:
    """A write on its way to storage. Plug-ins change ``obj`` in place while admitting.

    ``verb`` is the admission operation: a patch is an update, or a create when it makes the object.
    ``obj`` is None for deletions, ``old`` is None for creations. ``resource`` names the resource itself;
    ``subresource`` is empty or e.g. ``status``. ``warn`` puts a text into the answer's Warning headers,
    ``annotate`` a key and a value into what the audit log tells.
    ``default`` fills in the defaults of an object that a plug-in replaces.
    """

    user: User
    verb: Operation
    resource: Kind
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    obj: Obj | None = None
    old: Obj | None = None
    dry_run: bool = False
    warn: Callable[[str], None] = unheard
    annotate: Callable[[str, str], None] = unrecorded
    default: Callable[[Obj], None] = undefaulted
    rounds: Rounds = field(default_factory=Rounds)

    @property
    def target(self) -> Target:
        """What plug-ins are selected by."""
        plural = self.resource.plural
        return self.resource.group, f"{plural}/{self.subresource}" if self.subresource else plural

    @property
    def body(self) -> Obj:
        """The object of a create or an update."""
        assert self.obj is not None
        return self.obj

    @property
    def before(self) -> Obj:
        """The object that an update or a deletion finds."""
        assert self.old is not None
        return self.old

    @property
    def sent_old(self) -> Obj | None:
        """The object before the request, as webhooks are told; connecting does not change any."""
        return None if self.verb == "connect" else self.old

    def forbidden(self, why: str) -> Forbidden:
        """The 403 with which a plug-in refuses."""
        name = self.name or (meta.name(self.obj) if self.obj is not None else "")
        return forbidden_because(self.resource.group, self.resource.plural, name, why)


class Plugin:
    """Base of the plug-ins: by default it looks at everything and does nothing."""

    # None: every resource
    targets: ClassVar[frozenset[Target] | None] = None
    operations: ClassVar[frozenset[Operation]] = WRITES

    def handles(self, target: Target, operation: Operation) -> bool:
        """Whether the plug-in has to see such requests."""
        return operation in self.operations and (self.targets is None or target in self.targets)

    async def admit(self, request: Request) -> None:
        """Complete the object, or raise what refuses the request. Runs before validation."""

    async def validate(self, request: Request) -> None:
        """Raise what refuses the request; the object must not be changed any more."""


def targets(*names: str, group: str = "") -> frozenset[Target]:
    """The targets of some resources of one group."""
    return frozenset((group, name) for name in names)


def is_mirror_pod(pod: Obj) -> bool:
    """Whether the pod only shows a static pod of a node."""
    return "kubernetes.io/config.mirror" in meta.annotations(pod)
