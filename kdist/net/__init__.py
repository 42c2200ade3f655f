"""The pod network of one host: CNI configuration, routes to the pods of other hosts, masquerade.

:mod:`hosts` reads Nodes, :mod:`plan` decides (pure), :mod:`cni`, :mod:`kernel`, :mod:`masquerade` and
:mod:`sysctl` do it, :mod:`events` notices drift and :mod:`daemon` ties them together. The CNI plug-ins named in
the configuration do the work per pod. Each plan is computed from scratch from all Nodes, so further rules
(network policies) are a further part of the plan with an apply module of its own.
"""
