"""Authentication: who sends a request.

Certificates, service-account tokens, bootstrap tokens, front proxies; the reviews and documents about them.
"""

from kdist.apiserver.authn.authenticator import Authenticator
from kdist.apiserver.authn.user import ANONYMOUS, LOOPBACK, User

__all__ = ["ANONYMOUS", "LOOPBACK", "Authenticator", "User"]
