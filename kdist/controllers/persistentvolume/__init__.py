"""Binds claims to volumes, asks for volumes that are not there, and looks after released ones."""
