"""Jobs: pods that run to the end."""
