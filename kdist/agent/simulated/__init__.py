"""Nodes without machines, for development: pods that are bound to them turn Running without any container.

What a simulated node does: it registers, renews its Lease, gives pods addresses and makes them Ready, and lets
deleted pods go at once. What it does not do: run anything. Pods stay Running, whatever their restart policy,
and have no logs and no exec.
"""
