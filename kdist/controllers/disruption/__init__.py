"""How many pods may be disrupted voluntarily."""
