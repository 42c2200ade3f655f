"""Where pods come from: manifests on this host and the API; mirror pods show the former in the latter."""
