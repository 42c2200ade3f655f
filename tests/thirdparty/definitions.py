"""CustomResourceDefinitions of cert-manager and the Prometheus operator, built from packages of PyPI.

No package of PyPI or npm was found that carries the definitions as released. cloudcoil's model packages are generated
from their schemas and keep fields, types, requirements, enumerations, patterns, bounds and descriptions; this builds
the schemas from them again. What models cannot say is said here: which lists have keys, subresources, columns,
names. Lost are expressions (CEL) and defaults, which tests/unit/apiserver/corpora has.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cloudcoil.models.cert_manager import v1 as cert_manager
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from cloudcoil.models.prometheus_operator import v1alpha1 as prometheus_operator_alpha

Obj = dict[str, Any]
_KEPT = (
    "type", "format", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
    "maxLength", "minItems", "maxItems", "required",
)  # fmt: skip
_NULL = {"type": "null"}


@dataclass(frozen=True)
class Definition:
    """What a definition says apart from its schema."""

    models: Any
    group: str
    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str = "Namespaced"
    scaled_by: str = ""
    list_keys: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    version: str = "v1"

    @property
    def name(self) -> str:
        return f"{self.plural}.{self.group}"

    def build(self) -> Obj:
        """The whole CustomResourceDefinition."""
        version: Obj = {"name": self.version, "served": True, "storage": True}
        version["schema"] = {"openAPIV3Schema": self._schema()}
        version["subresources"] = {"status": {}}
        if self.scaled_by:
            paths = {
                "specReplicasPath": f".spec.{self.scaled_by}",
                "statusReplicasPath": f".status.{self.scaled_by}",
            }
            version["subresources"]["scale"] = paths
        if self.columns:
            columns = [{"name": n, "type": "string", "jsonPath": path} for n, path in self.columns.items()]
            version["additionalPrinterColumns"] = columns
        names = {"kind": self.kind, "plural": self.plural, "shortNames": list(self.short_names)}
        spec = {"group": self.group, "scope": self.scope, "names": names, "versions": [version]}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.name},
            "spec": spec,
        }

    def _schema(self) -> Obj:
        schema = _Structural(self.models, getattr(self.models, self.kind)).schema
        for path, keys in self.list_keys.items():
            node = schema
            for step in path.split("."):
                node = node["properties"][step]
            node.update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys})
        return schema


class _Structural:
    """A structural schema out of the JSON schema of a pydantic model: no references, no null, no titles."""

    def __init__(self, models: Any, model: Any) -> None:
        document = model.model_json_schema()
        self._models, self._parts = models, document.pop("$defs")
        self._told = _descriptions(models)
        self.schema = self._node(document, model.__name__)
        for name, kind in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
            self.schema["properties"][name] = {"type": kind}

    def _node(self, document: Obj, owner: str = "") -> Obj:
        if "$ref" in document:
            name = document["$ref"].rpartition("/")[2]
            return self._node(self._parts[name], name)
        if "anyOf" in document:
            choices = [choice for choice in document["anyOf"] if choice != _NULL]
            return self._node(choices[0]) if len(choices) == 1 else {"x-kubernetes-int-or-string": True}
        made = {word: document[word] for word in _KEPT if word in document}
        if "const" in document:
            made["enum"] = [document["const"]]
        if "items" in document:
            made["items"] = self._node(document["items"])
        if isinstance(document.get("additionalProperties"), dict):
            made["additionalProperties"] = self._node(document["additionalProperties"])
        if document.get("properties"):
            made["properties"] = self._properties(document["properties"], owner)
        elif made.get("type", "object") == "object" and "additionalProperties" not in made:
            made["x-kubernetes-preserve-unknown-fields"] = True
        return made

    def _properties(self, properties: Obj, owner: str) -> Obj:
        told = self._told.get(owner, {})
        made = {name: self._node(child) for name, child in properties.items()}
        for attribute, info in getattr(self._models, owner).model_fields.items() if told else ():
            if attribute in told:
                made[info.alias or attribute]["description"] = told[attribute]
        return made


@cache
def _descriptions(models: Any) -> dict[str, dict[str, str]]:
    """The text below each attribute of each class."""
    classes = [node for node in ast.parse(inspect.getsource(models)).body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_told(node)) for node in classes}


def _told(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (line.target.id, inspect.cleandoc(below.value.value))
        for line, below in zip(node.body, node.body[1:], strict=False)
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    ]


_CONDITIONS = {"status.conditions": ["type"]}
_READY = '.status.conditions[?(@.type == "Ready")].status'
_CERTIFICATES, _MONITORING = "cert-manager.io", "monitoring.coreos.com"
DEFINITIONS = (
    Definition(
        cert_manager, _CERTIFICATES, "Certificate", "certificates", ("cert", "certs"),
        list_keys=_CONDITIONS, columns={"Ready": _READY, "Secret": ".spec.secretName"},
    ),
    Definition(
        cert_manager, _CERTIFICATES, "CertificateRequest", "certificaterequests", ("cr", "crs"),
        list_keys=_CONDITIONS,
    ),
    Definition(
        cert_manager, _CERTIFICATES, "Issuer", "issuers", ("iss",),
        list_keys=_CONDITIONS, columns={"Ready": _READY},
    ),
    Definition(
        cert_manager, _CERTIFICATES, "ClusterIssuer", "clusterissuers", ("ciss",), "Cluster",
        list_keys=_CONDITIONS, columns={"Ready": _READY},
    ),
    Definition(
        prometheus_operator, _MONITORING, "Prometheus", "prometheuses", ("prom",),
        scaled_by="shards", list_keys={**_CONDITIONS, "spec.hostAliases": ["ip"]},
    ),
    Definition(
        prometheus_operator, _MONITORING, "Alertmanager", "alertmanagers", ("am",),
        scaled_by="replicas", list_keys=_CONDITIONS,
    ),
    Definition(prometheus_operator, _MONITORING, "ServiceMonitor", "servicemonitors", ("smon",)),
    Definition(prometheus_operator, _MONITORING, "PodMonitor", "podmonitors", ("pmon",)),
    Definition(
        prometheus_operator, _MONITORING, "PrometheusRule", "prometheusrules", ("promrule",),
        list_keys={"spec.groups": ["name"]},
    ),
    Definition(
        prometheus_operator, _MONITORING, "ThanosRuler", "thanosrulers", ("ruler",),
        list_keys=_CONDITIONS,
    ),
    Definition(
        prometheus_operator_alpha, _MONITORING, "AlertmanagerConfig", "alertmanagerconfigs", ("amcfg",),
        version="v1alpha1",
    ),
)  # fmt: skip
