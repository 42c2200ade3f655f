"""Nodes that stopped answering: conditions, taints and the eviction of their pods."""
