"""Admission policies: rules about writes, and changes of them, as expressions, without a server of the users' own.

``matching`` says which requests a policy or a binding concerns (pure), ``compilation`` turns policies into
programs, ``evaluation`` into decisions about one request, ``params`` finds what bindings refer to, ``plugin`` is the
link of the admission chain that validates; ``mutations`` and ``mutating`` are evaluation and link of those that
mutate; ``typechecking`` fills in the status of policies.
"""

from kdist.apiserver.admission.policies.mutating import MutatingPolicies
from kdist.apiserver.admission.policies.plugin import ValidatingPolicies

__all__ = ["MutatingPolicies", "ValidatingPolicies"]
