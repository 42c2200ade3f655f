"""The life of a cluster: specification, plan, bundle, preflight."""
