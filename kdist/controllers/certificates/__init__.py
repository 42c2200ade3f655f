"""Certificate signing requests: approved for nodes, signed by the cluster's authority, cleaned up."""
