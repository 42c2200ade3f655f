"""What Ansible does on a host: our module_utils are importable beside its own, and plug-ins are loaded by name."""

import importlib.util
from pathlib import Path
from types import ModuleType

import ansible.module_utils

_PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
_OURS = str(_PLUGINS / "module_utils")
if _OURS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_OURS)


def plugin(name: str) -> ModuleType:
    """A plug-in by its path below plugins, such as ``modules/kdist_unit``, as a Python module."""
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), _PLUGINS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
