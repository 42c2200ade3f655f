"""Our server gives upstream's answers to the requests of the corpus, kind by kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kdist.api.scheme import Scheme
from tests.corpus import compare, discovery, gated, scenarios
from tests.corpus.inprocess import InProcess, serving
from tests.corpus.resources import Case, Run, all_cases

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CASES = all_cases()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transport() -> AsyncIterator[InProcess]:
    async with serving() as made:
        yield made


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.resource)
async def test_answers_are_upstreams(transport: InProcess, case: Case) -> None:
    want = compare.expected(case)
    assert want, (
        f"{case.resource} was never recorded: python -m tests.corpus.record KUBECONFIG {case.resource}"
    )
    found = compare.differing(want, await Run(case, transport)())
    known = set(compare.known_differences().get(case.resource, ()))
    unknown = {told: lines for told, lines in found.items() if told not in known}
    assert not unknown, "\n".join(f"{told}\n    " + "\n    ".join(lines) for told, lines in unknown.items())
    equal = known - found.keys()
    assert not equal, f"no longer different, take it off differences.yaml: {sorted(equal)}"


@pytest.mark.parametrize("scenario", list(scenarios.scenarios()), ids=lambda scenario: scenario.id)
async def test_scenarios_go_as_upstream_says(transport: InProcess, scenario: scenarios.Scenario) -> None:
    want = scenarios.expected(scenario.file).get(scenario.name)
    assert want, f"{scenario.id} was never recorded: python -m tests.corpus.scenarios KUBECONFIG"
    found = compare.differing(want, await scenarios.play(scenario, transport))
    known = set(scenarios.known_differences().get(scenario.id, ()))
    unknown = {told: lines for told, lines in found.items() if told not in known}
    assert not unknown, "\n".join(f"{told}\n    " + "\n    ".join(lines) for told, lines in unknown.items())
    equal = known - found.keys()
    assert not equal, f"no longer different, take it off scenario_differences.yaml: {sorted(equal)}"


async def test_pods_under_feature_gates_are_answered_as_upstream_does() -> None:
    async with serving(*(f"{gate}=true" for gate in gated.cases().gates)) as transport:
        found = compare.differing(gated.expected(), await gated.ask(transport))
    assert not found, "\n".join(f"{told}\n    " + "\n    ".join(lines) for told, lines in found.items())


async def test_discovery_tells_what_upstreams_does(transport: InProcess) -> None:
    assert await discovery.ask(transport) == discovery.expected()


async def test_every_kind_has_a_case(scheme: Scheme) -> None:
    served = {f"{r.api_version}/{r.plural}" for r in scheme}
    missing = served - {case.resource for case in _CASES} - {"v1/componentstatuses"}
    assert not missing, f"no case for {sorted(missing)}: add one to tests/corpus/cases and record it"
