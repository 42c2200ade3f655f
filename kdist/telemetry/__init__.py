"""Structured logs, metrics and the health endpoints of components that are not HTTP servers themselves."""
