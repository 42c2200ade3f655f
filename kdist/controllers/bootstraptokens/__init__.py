"""Bootstrap tokens: they sign what a joining host must believe, and go when they expire."""
