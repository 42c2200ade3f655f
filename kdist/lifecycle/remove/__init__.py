"""Taking hosts out of a cluster, powered-off ones included, without touching any other worker.

:mod:`plan` decides and tells (pure), :mod:`etcd` asks and changes the members through a control plane that stays,
:mod:`steps` puts it in order; nodes are drained by :mod:`kdist.lifecycle.upgrade.drain`. Nothing of it gathers facts
from other hosts.
"""
