"""Pods that nobody else would delete."""
