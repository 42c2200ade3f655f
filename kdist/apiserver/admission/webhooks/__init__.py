"""Admission webhooks: servers of the users' own that complete and refuse writes.

``configuration`` knows which hooks there are, ``matching`` which of them a request concerns (pure), ``review``
speaks AdmissionReview (pure), ``client`` calls, ``plugins`` are the two links of the admission chain.
"""

from kdist.apiserver.admission.webhooks.client import WebhookClient
from kdist.apiserver.admission.webhooks.plugins import MutatingWebhooks, ValidatingWebhooks

__all__ = ["MutatingWebhooks", "ValidatingWebhooks", "WebhookClient"]
