"""The Container Runtime Interface: the only place that speaks it (and containerd's own event stream)."""
