"""Audit: a record of who asked what of the server, and what came of it.

``policy`` decides how much of a request is recorded (pure), ``auditor`` follows a request through its stages,
``record`` is what is kept of it meanwhile, ``contents`` what its event says, ``events`` the published Event;
``logfile`` and ``webhook`` are where events go, ``batching`` lets them go there later, ``opening`` puts all of it
together. Off unless a policy file is given; then a request pays one look at an attribute.
"""

from kdist.apiserver.audit.auditor import Auditor
from kdist.apiserver.audit.opening import open_auditor

__all__ = ["Auditor", "open_auditor"]
