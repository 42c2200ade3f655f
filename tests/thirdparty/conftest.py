"""One ``kdist dev`` for all clients that nobody here wrote; its fixtures are those of the integration tests."""

from tests.integration.conftest import cluster, kubeconfig, kubectl, kubectl_binary

__all__ = ["cluster", "kubeconfig", "kubectl", "kubectl_binary"]
