"""One scheme for all tests: loading it takes milliseconds, but not for nothing."""

from __future__ import annotations

import pytest

from kdist.api.scheme import Scheme


@pytest.fixture(scope="session")
def scheme() -> Scheme:
    return Scheme.load("1.32")
