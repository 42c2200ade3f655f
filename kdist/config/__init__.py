"""Settings of every component, one module each; the operator's API."""
