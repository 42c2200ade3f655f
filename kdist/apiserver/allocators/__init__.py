"""Cluster IPs and node ports of Services.

An address in use is a key of its own in storage (a claim), written and deleted in the same transaction as the
Service that holds it: two servers cannot give the same address away, and none can leak.
"""

from kdist.apiserver.allocators.services import ServiceAllocator, open_allocator

__all__ = ["ServiceAllocator", "open_allocator"]
