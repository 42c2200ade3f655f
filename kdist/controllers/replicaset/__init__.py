"""ReplicaSets and ReplicationControllers: as many pods as asked for."""
