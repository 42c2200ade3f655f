"""Certificates and kubeconfigs: a pure plan of what must exist, and the issuing of what is missing."""
