"""The cluster DNS feeder: Services become records in unbound."""
