"""ClusterRoles made of others."""
