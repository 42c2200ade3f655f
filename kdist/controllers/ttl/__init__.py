"""Finished Jobs whose time is over."""
