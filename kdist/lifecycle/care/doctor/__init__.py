"""What is wrong with a cluster, why, and the command that mends it.

Every check is one small pure function from a :class:`~kdist.lifecycle.care.picture.Picture` to findings, registered
with :func:`~kdist.lifecycle.care.doctor.findings.check`; :func:`examine` runs them all. A check tells what it sees and
leaves alone what another one tells: a host that does not answer is one finding, not twenty.
"""

from kdist.lifecycle.care.doctor import certificates, control_plane, etcd, hosts, operations, workloads
from kdist.lifecycle.care.doctor.findings import CHECKS, Finding, Severity, examine

__all__ = [
    "CHECKS",
    "Finding",
    "Severity",
    "certificates",
    "control_plane",
    "etcd",
    "examine",
    "hosts",
    "operations",
    "workloads",
]
