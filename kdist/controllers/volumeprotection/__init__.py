"""Keeps volumes and claims that are in use: their protection finalizers go only when nobody uses them."""
