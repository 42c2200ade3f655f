"""Admission: a chain of small plug-ins that complete and refuse writes after authorization."""

from kdist.apiserver.admission.base import Plugin, Request
from kdist.apiserver.admission.chain import Chain, default_chain

__all__ = ["Chain", "Plugin", "Request", "default_chain"]
