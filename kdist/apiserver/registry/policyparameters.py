"""Parameters of admission policies: the kind a policy names, the objects a binding chooses."""

from __future__ import annotations

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.admissionrules import check_enum
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.validation import causes, names


def check_kind(kind: Obj, where: str) -> list[Cause]:
    """Causes for the kind that a policy takes its parameters from."""
    version_text, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    found: list[Cause] = []
    if not version_text:
        found.append(causes.required(f"{where}.apiVersion"))
    elif version_text.count("/") > 1:
        told = f"unexpected GroupVersion string: {version_text}"
        found.append(causes.invalid(f"{where}.apiVersion", version_text, told))
    else:
        group, _, version = version_text.rpartition("/")
        if group and (told := ",".join(names.dns_subdomain(group))):
            found.append(causes.invalid(f"{where}.apiVersion", group, told))
        if not version:
            found.append(causes.invalid(f"{where}.apiVersion", version_text, "version must be specified"))
        elif told := ",".join(names.dns_1035_label(version)):
            found.append(causes.invalid(f"{where}.apiVersion", version, told))
    if not name:
        found.append(causes.required(f"{where}.kind"))
    elif told := ",".join(names.dns_1035_label(name.lower())):
        told = f"may have mixed case, but should otherwise match: {told}"
        found.append(causes.invalid(f"{where}.kind", name, told))
    return found


def check_reference(ref: Obj | None, where: str) -> list[Cause]:
    """Causes for the parameters that a binding chooses."""
    if ref is None:
        return []
    name, selector = ref.get("name"), ref.get("selector")
    found: list[Cause] = []
    if name:
        found += [causes.invalid(f"{where}.name", name, told) for told in names.path_segment(name)]
    if selector is not None:
        found += check_label_selector(selector, f"{where}.selector")
    if name and selector is not None:
        told = "name and selector are mutually exclusive"
        found += [causes.forbidden(f"{where}.{field}", told) for field in ("name", "selector")]
    if not name and selector is None:
        found.append(causes.required(where, "one of name or selector must be specified"))
    if ref.get("parameterNotFoundAction") == "":
        return [*found, causes.required(f"{where}.parameterNotFoundAction")]
    return found + check_enum(ref, "parameterNotFoundAction", where, ("Deny", "Allow"), required=True)
