"""Pod address ranges of nodes."""
