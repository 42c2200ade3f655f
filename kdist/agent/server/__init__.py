"""The agent's HTTPS server on port 10250: pods, logs, streams, statistics and metrics of this node."""
