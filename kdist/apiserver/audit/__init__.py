"""Audit: a record of who asked what of the server, and what came of it.

``policy`` decides how much of a request is recorded (pure), ``events`` builds the published Event, ``auditor``
follows a request through its stages, ``logfile`` and ``webhook`` are where events go, ``batching`` lets them go there
later. Off unless a policy file is given; then a request pays one look at an attribute.
"""

from kdist.apiserver.audit.auditor import Auditor, open_auditor

__all__ = ["Auditor", "open_auditor"]
