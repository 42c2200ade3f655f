"""Streams to agents and workloads: logs, exec, attach, port-forward, and the HTTP proxies."""
