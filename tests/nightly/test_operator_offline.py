"""From the bundle alone: an operator's machine without any index installs kdist and runs its playbooks."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.conftest import ROOT, run


def test_the_bundle_holds_all_that_an_operators_machine_needs(tmp_path: Path) -> None:
    run(["kdist", "bundle", "build"], timeout=900)
    bundle = ROOT / "dist/bundle"
    archive = next(bundle.glob("operator/kdist-*.tar"))
    run(["tar", "-xf", str(archive), "-C", str(tmp_path)])
    tree = tmp_path / archive.stem
    run(["/usr/bin/python3", "-m", "venv", str(tree / ".venv")])
    # No index, no proxy, no checkout on the path: what is not in the bundle cannot be found.
    alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("PIP_")}
    alone["PATH"] = f"{tree / '.venv/bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    pip = [str(tree / ".venv/bin/pip"), "install", "-q", "--no-index", "--find-links", str(bundle / "wheels")]
    run([*pip, "--editable", f"{tree}[operator]"], env=alone, timeout=300)
    script = (
        f"cd {tree} && kdist validate -i inventory/sample && kdist bundle verify {bundle}"
        " && ansible-playbook -i inventory/sample --syntax-check site.yml"
    )
    told = run(["bash", "-ec", script], env=alone, timeout=180)
    assert "inventory/sample: valid" in told
    assert "closed: whatever its packages, wheels and images need" in told
    assert "playbook: site.yml" in told
    assert run(["kdist", "--version"]) == run(["bash", "-c", f"cd {tree} && kdist --version"], env=alone)
