"""The kdist command: one module per command; the composition root."""
