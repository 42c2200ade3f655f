"""What Ansible does on a host: kdist's module_utils are importable beside Ansible's own."""

from pathlib import Path

import ansible.module_utils

_OURS = str(Path(__file__).resolve().parents[3] / "plugins" / "module_utils")
if _OURS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_OURS)
