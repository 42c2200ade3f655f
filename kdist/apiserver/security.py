"""Who may do what, put together from the settings: keys, authenticator, authorizer, and what keeps them current.

Files that say whom to believe (client CAs, issuers, authorizers) are looked at again while the server runs; one
that cannot be used leaves the old state in force and is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from kdist.apiserver.authn import configuration as authentication
from kdist.apiserver.authn.authenticator import Anonymous, Authenticator, RemoteTokens
from kdist.apiserver.authn.bootstraptokens import BootstrapTokens
from kdist.apiserver.authn.certificates import Authority
from kdist.apiserver.authn.frontproxy import FrontProxy
from kdist.apiserver.authn.keys import KeySet
from kdist.apiserver.authn.legacytokens import LegacyTokens, UseNotes
from kdist.apiserver.authn.oidc import IssuerTokens, OpenIdTokens
from kdist.apiserver.authn.removednodes import AskNotes, RemovedNodes
from kdist.apiserver.authn.tokenrequest import TokenIssuer
from kdist.apiserver.authn.tokens import TokenVerifier
from kdist.apiserver.authn.webhook import WebhookTokens
from kdist.apiserver.authz import Authorizer
from kdist.apiserver.authz import configuration as authorization
from kdist.apiserver.authz.webhook import WebhookMode
from kdist.apiserver.ports import Reader, Writer
from kdist.client.rest import Client
from kdist.config.apiserver import ApiServerSettings
from kdist.telemetry import log

_log = log.get(__name__)
RELOAD_SECONDS = 5.0  # how often the files are looked at


class Security:
    """The parts of one server. ValueError or OSError when a file or flag cannot be used."""

    def __init__(self, settings: ApiServerSettings, reader: Reader, writer: Writer) -> None:
        self._settings = settings
        self.keys = _token_keys(settings)
        self.audiences = settings.api_audiences or settings.service_account_issuer
        self._notes, self._asked = UseNotes(writer), AskNotes(writer)
        self._retired: tuple[WebhookMode, ...] = ()  # replaced, but perhaps still being asked
        self._webhook = self._token_webhook()
        removed, clients = RemovedNodes(reader, self._asked.asked), settings.client_ca_file
        self._client_ca = Authority.from_file(clients, removed.check) if clients else None
        proxies = settings.requestheader_client_ca_file
        self._proxy_ca = Authority.from_file(proxies) if proxies else None
        self.authenticator = Authenticator(
            tokens=TokenVerifier(
                self.keys, reader, issuers=settings.service_account_issuer, audiences=self.audiences
            ),
            legacy_tokens=LegacyTokens(self.keys, reader, audiences=self.audiences, used=self._notes.used),
            bootstrap_tokens=BootstrapTokens(reader),
            client_ca=self._client_ca,
            front_proxy=FrontProxy(self._proxy_ca, settings.requestheader_allowed_names)
            if self._proxy_ca
            else None,
        )
        self._believe()
        self.authorizer = Authorizer(reader, ())
        self._ask()
        self.issuer = TokenIssuer(
            self.keys, writer, issuer=settings.service_account_issuer[0], audiences=self.audiences
        )

    def _token_webhook(self) -> WebhookTokens | None:
        path = self._settings.authentication_token_webhook_config_file
        if path is None:
            return None
        version = self._settings.authentication_token_webhook_version
        if version not in ("v1", "v1beta1"):
            raise ValueError(
                f"--authentication-token-webhook-version: unsupported {version!r}: must be v1 or v1beta1"
            )
        client = Client.from_kubeconfig(path, user_agent="kdist-apiserver")
        ttl = self._settings.authentication_token_webhook_cache_ttl
        return WebhookTokens(client, version=version, ttl=ttl, own=self.audiences)

    def _believe(self) -> None:
        """Take over what flags and the authentication file say. ConfigurationError."""
        configured = authentication.configured(self._settings)
        remote: list[RemoteTokens] = []
        if configured.issuers:
            issuers = [IssuerTokens(issuer) for issuer in configured.issuers]
            remote.append(OpenIdTokens(issuers, self.audiences))
        if self._webhook is not None:
            remote.append(self._webhook)
        enabled = self._settings.anonymous_auth if configured.anonymous is None else configured.anonymous
        self.authenticator.remote = tuple(remote)
        self.authenticator.anonymous = Anonymous(enabled=enabled, paths=configured.anonymous_paths)

    def _ask(self) -> None:
        """Take over which authorizers there are. ConfigurationError, KubeconfigError."""
        self.authorizer.use([self._mode(mode) for mode in authorization.configured(self._settings)])

    def _mode(self, mode: authorization.ModeSettings) -> str | WebhookMode:
        if mode.webhook is None:
            return mode.type
        agent = "kdist-apiserver"
        path = mode.kubeconfig
        client = (
            Client.from_kubeconfig(path, user_agent=agent) if path else Client.in_cluster(user_agent=agent)
        )
        return WebhookMode(client, mode.webhook)

    # ----- while the server runs

    def reload_authorities(self) -> None:
        """Look at the files of client authorities now. A bad one leaves the old state in force."""
        settings = self._settings
        for path, authority in (
            (settings.client_ca_file, self._client_ca),
            (settings.requestheader_client_ca_file, self._proxy_ca),
        ):
            if path and authority:
                try:
                    authority.replace(path.read_bytes())
                except (OSError, ValueError) as error:
                    _log.error("a changed file is not used", path=str(path), error=str(error))

    def _exchange_keys(self, _: bytes) -> None:
        self.keys.take(_token_keys(self._settings))

    def _reread(self, _: bytes) -> None:
        self._believe()

    def _ask_others(self, _: bytes) -> None:
        self._retired += self.authorizer.webhooks
        self._ask()

    def works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """The endless works of these parts, by name."""
        works: dict[str, Coroutine[Any, Any, None]] = {
            "token-use": self._notes.run(),
            "removed-nodes": self._asked.run(),
        }
        settings = self._settings
        if settings.client_ca_file and self._client_ca:
            works["client-ca"] = follow(settings.client_ca_file, self._client_ca.replace)
        if settings.requestheader_client_ca_file and self._proxy_ca:
            works["proxy-ca"] = follow(settings.requestheader_client_ca_file, self._proxy_ca.replace)
        if settings.service_account_signing_key_file:
            works["token-key"] = follow(settings.service_account_signing_key_file, self._exchange_keys)
            for number, path in enumerate(settings.service_account_key_file):
                works[f"token-public-key-{number}"] = follow(Path(path), self._exchange_keys)
        if settings.authentication_config:
            works["authentication-config"] = follow(settings.authentication_config, self._reread)
        if settings.authorization_config:
            works["authorization-config"] = follow(settings.authorization_config, self._ask_others)
        return works

    async def close(self) -> None:
        """Let go of connections."""
        if self._webhook is not None:
            await self._webhook.close()
        for mode in (*self._retired, *self.authorizer.webhooks):
            await mode.close()


async def follow(path: Path, load: Callable[[bytes], None]) -> None:
    """Call ``load`` with a file's content whenever it changes."""
    seen = _content(path)
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        now = _content(path)
        if now is None or now == seen:
            continue
        seen = now
        try:
            load(now)
        except (OSError, ValueError) as error:
            _log.error("a changed file is not used", path=str(path), error=str(error))
        else:
            _log.info("loaded a changed file", path=str(path))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # being replaced
        return None


def _token_keys(settings: ApiServerSettings) -> KeySet:
    if settings.service_account_signing_key_file is None:
        return KeySet.of(ec.generate_private_key(ec.SECP256R1()))
    return KeySet.from_files(
        settings.service_account_signing_key_file, [Path(p) for p in settings.service_account_key_file]
    )
