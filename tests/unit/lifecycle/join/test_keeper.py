"""Who signs for a worker that joins alone."""

from kdist.lifecycle.join import keeper
from kdist.lifecycle.operation.remote import Reach


async def test_control_planes_that_do_not_answer_or_have_no_key_are_passed_over_and_named() -> None:
    silent = Reach("cp1", "127.0.0.1", port=1, arguments=("-F", "none"))
    found, passed = await keeper.of([silent, Reach("cp2", "127.0.0.1", local=True)])
    assert found is None
    assert passed[0].startswith("cp1: cannot be reached at 127.0.0.1 over ssh")
    assert passed[1] == "cp2: has no key of the authority"
