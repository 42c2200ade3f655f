"""kdist: a Kubernetes distribution in Python, driven by Ansible."""

__version__ = "0.1.0"
