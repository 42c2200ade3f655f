"""Taking hosts out of a cluster, powered-off ones included, without touching any other worker.

:mod:`plan` decides and tells (pure), :mod:`etcd` asks and changes the members through a control plane that stays,
:mod:`drain` moves workloads away, :mod:`steps` puts it in order. Nothing of it gathers facts from other hosts.
"""
