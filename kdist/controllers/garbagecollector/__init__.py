"""Deletes what lost its owners."""
