"""The service proxy (kube-proxy): Services and EndpointSlices become maps in one nftables table.

:mod:`services` and :mod:`endpoints` read the objects, :mod:`plan` turns one Service into map elements,
:mod:`ledger` keeps the elements of all Services and yields differences, :mod:`table` writes nftables text,
:mod:`nft` runs it, :mod:`conntrack` forgets stale UDP flows, :mod:`healthcheck` answers load balancers, and
:mod:`controller` ties them together, with a set of rules for each address family. Everything but the last four is pure.
"""
