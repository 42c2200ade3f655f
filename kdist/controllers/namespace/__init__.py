"""The end of a namespace and of everything in it."""
