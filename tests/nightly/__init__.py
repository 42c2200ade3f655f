"""Tests on lab hosts that are too long or too rare for every change: ``scripts/test nightly``."""
