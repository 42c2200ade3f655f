"""What a new cluster has before anybody creates anything: namespaces, default policy, priority classes."""

from kdist.apiserver.bootstrap.clientauthorities import publish as publish_authorities
from kdist.apiserver.bootstrap.reconcile import ensure_defaults

__all__ = ["ensure_defaults", "publish_authorities"]
