"""Binding a pod to a node: the scheduler's one write."""

from __future__ import annotations

from kdist.api import errors, meta
from kdist.api.errors import BadRequest, Cause
from kdist.api.meta import Obj
from kdist.api.pods import set_condition
from kdist.api.resources import Resource
from kdist.apiserver import pipeline as writes
from kdist.apiserver.call import Call

SUCCESS: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def create(call: Call) -> None:
    """POST to ``pods/NAME/binding``."""
    await _bind(call, call.resource, call.name)


async def create_unnamed(call: Call) -> None:
    """POST to ``bindings``, where the body names the pod."""
    pods = call.core.scheme.by_path("", "v1", "pods")
    assert pods is not None, "pods are published in every version"
    await _bind(call, pods, "")


async def _bind(call: Call, pods: Resource, name: str) -> None:
    binding = await call.read_kind("v1", "Binding")
    metadata = binding["metadata"] = binding.get("metadata") or {}
    name = name or metadata.get("name", "")
    if not name:
        raise BadRequest("a binding names its pod")
    if metadata.setdefault("name", name) != name:
        raise BadRequest(f"name in URL does not match name in Binding object: {metadata['name']}")
    metadata.setdefault("namespace", call.namespace)
    target = _target(binding)
    act, store = call.act(), call.core.store(pods)
    pipeline = call.core.pipeline(pods)
    review = pipeline.review(act, "create", obj=binding, subresource="binding")
    await pipeline.admission.admit(review)
    await pipeline.admission.validate(review)

    def bind(pod: Obj) -> Obj:
        return bound(pod, binding, target, pipeline)

    await store.modify(call.namespace, name, bind, dry_run=act.dry_run)
    await call.reply(dict(SUCCESS), 201)


def _target(binding: Obj) -> str:
    target = binding.get("target") or {}
    kind, node = target.get("kind") or "Node", target.get("name") or ""
    if kind != "Node":
        raise BadRequest(f'target.kind: Unsupported value: "{kind}": supported values: "Node"')
    if not node:
        raise BadRequest("target.name: Required value")
    return str(node)


def bound(pod: Obj, binding: Obj, node: str, pipeline: writes.Pipeline) -> Obj:
    """The pod on its node. Conflict when it is bound, gated, being deleted or another pod."""
    name, spec, metadata = meta.name(pod), pod["spec"], pod["metadata"]
    wanted = binding["metadata"].get("uid")
    if wanted and wanted != meta.uid(pod):
        told = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {meta.uid(pod)}"
        raise pipeline.store.conflict(name, told)
    if meta.is_deleting(pod):
        told = f"pod {name} is being deleted, cannot be assigned to a host"
        raise errors.conflict("", "pods/binding", name, told)
    if spec.get("nodeName"):
        told = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        raise errors.conflict("", "pods/binding", name, told)
    if spec.get("schedulingGates"):
        raise pipeline.store.invalid(
            name, [Cause("spec.schedulingGates", f"pod {name} has non-empty .spec.schedulingGates")]
        )
    spec["nodeName"] = node
    for field in ("annotations", "labels"):
        if extra := binding["metadata"].get(field):
            metadata[field] = {**(metadata.get(field) or {}), **extra}
    set_condition(pod, "PodScheduled", "True")
    return pod
