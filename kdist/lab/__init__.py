"""Throw-away hosts on one machine."""
