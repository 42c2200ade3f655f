"""One ``kdist dev`` for all clients that nobody here wrote; its fixtures are those of the integration tests."""

import pytest

from tests.integration.conftest import cluster, kubeconfig, kubectl, kubectl_binary


def pytest_configure(config: pytest.Config) -> None:
    """These clients leave sockets to the garbage collector, which is not ours to change."""
    config.addinivalue_line("filterwarnings", "default")


__all__ = ["cluster", "kubeconfig", "kubectl", "kubectl_binary"]
