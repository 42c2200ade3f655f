"""The Node object of this host: registration, status, Lease."""
