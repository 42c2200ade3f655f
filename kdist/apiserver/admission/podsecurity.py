"""PodSecurity: pods keep to the standard of their namespace; templates and namespaces hear of it beforehand."""

from __future__ import annotations

from collections import defaultdict

from kdist.api import errors, meta, pods
from kdist.api.kinds import NAMESPACES, PODS
from kdist.apiserver.admission.base import Plugin, Request, Target
from kdist.apiserver.podsecurity import policy
from kdist.apiserver.podsecurity.evaluation import evaluate, told
from kdist.apiserver.podsecurity.policy import Policy, Standard
from kdist.apiserver.ports import Obj, Reader, Writer

_NAMESPACES = ("", "namespaces")
_PODS: frozenset[Target] = frozenset({("", "pods"), ("", "pods/ephemeralcontainers")})
# Where the template of the pods is.
_TEMPLATES: dict[Target, str] = {
    ("", "replicationcontrollers"): "spec.template",
    ("", "podtemplates"): "template",
    ("apps", "deployments"): "spec.template",
    ("apps", "replicasets"): "spec.template",
    ("apps", "statefulsets"): "spec.template",
    ("apps", "daemonsets"): "spec.template",
    ("batch", "jobs"): "spec.template",
    ("batch", "cronjobs"): "spec.jobTemplate.spec.template",
}
# Looking at more pods than this would hold up the change of the namespace.
_REVIEW_LIMIT = 3000
_PROFILE_ANNOTATIONS = (
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/",
    "container.apparmor.security.beta.kubernetes.io/",
)


class PodSecurity(Plugin):
    """Refuses pods beyond the enforced standard; warns of templates whose pods would be, and of laxer pods."""

    targets = frozenset({_NAMESPACES, *_PODS, *_TEMPLATES})

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def validate(self, request: Request) -> None:
        """Forbidden for a pod, Invalid for labels that name no standard."""
        if request.target == _NAMESPACES:
            self._validate_namespace(request)
        elif request.target in _PODS:
            if request.old is None or _is_significant(request.body, request.old):
                _judge_pod(request, await self._policy(request.namespace))
        elif template := meta.get(request.body, _TEMPLATES[request.target]):
            wanted = await self._policy(request.namespace)
            _record(request, template, wanted.audit)
            _warn(request, template, wanted.warn)

    async def _policy(self, namespace: str) -> Policy:
        found = self._reader.get(NAMESPACES, None, namespace)
        if found is None:
            found = await self._writer.get(NAMESPACES, None, namespace)
        return policy.read(meta.labels(found))

    def _validate_namespace(self, request: Request) -> None:
        labels = meta.labels(request.body)
        before = meta.labels(request.old) if request.old is not None else {}
        wrong = policy.problems(labels)
        if wrong and wrong != policy.problems(before):
            raise errors.invalid("", "Namespace", request.name or meta.name(request.body), wrong)
        standard, old = policy.read(labels).enforce, policy.read(before).enforce
        if request.old is None or standard == old or old.is_stricter(standard):
            return
        for text in self._violations(request.name, standard):
            request.warn(text)

    def _violations(self, namespace: str, standard: Standard) -> list[str]:
        """What a stricter standard would not allow of the pods there are, alike ones together."""
        alike: defaultdict[str, list[str]] = defaultdict(list)
        found = self._reader.list(PODS, namespace) if standard.level != "privileged" else []
        for pod in found[:_REVIEW_LIMIT]:
            if findings := evaluate(pod, standard):
                alike[", ".join(finding.reason for finding in findings)].append(meta.name(pod))
        lines = [f"{_some(names)}: {reasons}" for reasons, names in alike.items()]
        if len(found) > _REVIEW_LIMIT:
            lines.append(f"only the first {_REVIEW_LIMIT} of {len(found)} pods were checked")
        title = (
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
        )
        return [title, *sorted(lines)] if alike else []


def _some(names: list[str]) -> str:
    first, others = min(names), len(names) - 1
    if not others:
        return first
    return f"{first} (and {others} other pod{'s' if others > 1 else ''})"


def _judge_pod(request: Request, wanted: Policy) -> None:
    request.annotate("pod-security.kubernetes.io/enforce-policy", str(wanted.enforce))
    _record(request, request.body, wanted.audit)
    if findings := evaluate(request.body, wanted.enforce):
        raise request.forbidden(f'violates PodSecurity "{wanted.enforce}": {told(findings)}')
    _warn(request, request.body, wanted.warn)


def _warn(request: Request, pod: Obj, standard: Standard) -> None:
    if findings := evaluate(pod, standard):
        request.warn(f'would violate PodSecurity "{standard}": {told(findings)}')


def _record(request: Request, pod: Obj, standard: Standard) -> None:
    if standard.level != "privileged" and (findings := evaluate(pod, standard)):
        told_of = f'would violate PodSecurity "{standard}": {told(findings)}'
        request.annotate("pod-security.kubernetes.io/audit-violations", told_of)


def _is_significant(new: Obj, old: Obj) -> bool:
    """Whether an update of a pod changes anything that the standards look at."""
    return _facets(new) != _facets(old)


def _facets(pod: Obj) -> tuple[object, object]:
    images = [(c.get("name"), c.get("image")) for c in pods.containers(pod)]
    annotations = meta.annotations(pod).items()
    return images, sorted((k, v) for k, v in annotations if k.startswith(_PROFILE_ANNOTATIONS))
