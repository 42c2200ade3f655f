"""How many replicas a workload needs."""
