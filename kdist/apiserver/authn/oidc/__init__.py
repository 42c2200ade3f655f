"""Users by the tokens of OpenID Connect issuers: whom to believe, the issuers' keys, and what claims make a user."""

from kdist.apiserver.authn.oidc.issuer import ClaimMapping, Issuer
from kdist.apiserver.authn.oidc.verifier import IssuerTokens, OpenIdTokens

__all__ = ["ClaimMapping", "Issuer", "IssuerTokens", "OpenIdTokens"]
