"""Deployments: one template after another, without losing the service."""
