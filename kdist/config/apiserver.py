"""Settings of ``kdist apiserver``; the flags carry upstream's names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import DEFAULT_LEVEL, LEVELS
from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class ApiServerSettings:
    """The API server's command line."""

    bind_address: str = option("0.0.0.0", help="Address to listen on.")
    secure_port: int = option(6443, help="TCP port to serve HTTPS on; 0 takes a free one.")
    advertise_address: str | None = option(
        None,
        help="IP address on which members of the cluster reach this server. Default: found from the routes.",
    )
    workers: int = option(
        1, help="Processes that serve the one port, each with its own caches; one per core at most."
    )

    storage: str = option("etcd", help="Where objects are kept: etcd, or memory (gone with the process).")
    etcd_servers: tuple[str, ...] = option(("http://127.0.0.1:2379",), help="URLs of the etcd members.")
    etcd_cafile: Path | None = option(
        None, help="CA bundle (PEM) that signed the etcd servers' certificates."
    )
    etcd_certfile: Path | None = option(None, help="Client certificate (PEM) for etcd.")
    etcd_keyfile: Path | None = option(None, help="Key (PEM) of the client certificate for etcd.")
    etcd_compaction_interval: float = option(
        300.0, help="Seconds between compactions: how long old revisions can be read. 0 turns them off."
    )

    encryption_provider_config: Path | None = option(
        None,
        help="EncryptionConfiguration file: which resources are encrypted in storage. Default: none are.",
    )
    encryption_provider_config_automatic_reload: bool = option(
        False, help="Whether a changed encryption configuration takes effect without a restart."
    )

    client_ca_file: Path | None = option(
        None, help="CA bundle (PEM) whose client certificates authenticate users. Default: none are accepted."
    )
    tls_cert_file: Path | None = option(
        None, help="Server certificate (PEM) with its chain. Default: a self-signed one is generated."
    )
    tls_private_key_file: Path | None = option(None, help="Key (PEM) of the server certificate.")
    requestheader_client_ca_file: Path | None = option(
        None, help="CA bundle (PEM) of front proxies, whose X-Remote-* headers are believed."
    )
    requestheader_allowed_names: tuple[str, ...] = option(
        (), help="Common names of front proxies; empty allows every certificate of their CA."
    )
    proxy_client_cert_file: Path | None = option(
        None, help="Certificate (PEM) this server shows to aggregated API servers."
    )
    proxy_client_key_file: Path | None = option(None, help="Key (PEM) of the proxy client certificate.")

    oidc_issuer_url: str = option(
        "", help="OpenID Connect issuer (https) whose tokens authenticate users. Default: none is believed."
    )
    oidc_client_id: str = option("", help="Audience that tokens of the issuer must name.")
    oidc_username_claim: str = option("sub", help="Claim that is the user name.")
    oidc_username_prefix: str = option(
        "",
        help="Prefix of user names; '-' is none. Default: the issuer and '#', none when the claim is email.",
    )
    oidc_groups_claim: str = option("", help="Claim that lists the user's groups. Default: there are none.")
    oidc_groups_prefix: str = option("", help="Prefix of the groups.")
    oidc_required_claim: tuple[str, ...] = option((), help="key=value pairs that a token must have.")
    oidc_signing_algs: tuple[str, ...] = option(("RS256",), help="Signature algorithms that are believed.")
    oidc_ca_file: Path | None = option(
        None, help="CA bundle (PEM) of the issuer's certificate. Default: the system's."
    )
    authentication_config: Path | None = option(
        None,
        help="AuthenticationConfiguration file: issuers and where requests may be anonymous, instead of flags.",
    )
    authentication_token_webhook_config_file: Path | None = option(
        None, help="kubeconfig of a webhook that is asked about tokens that nobody else knows."
    )
    authentication_token_webhook_cache_ttl: float = option(
        120.0, help="Seconds that the webhook's answers are kept."
    )
    authentication_token_webhook_version: str = option(
        "v1beta1", help="Version of TokenReview that the webhook gets: v1 or v1beta1."
    )

    service_account_issuer: tuple[str, ...] = option(
        ("https://kubernetes.default.svc.cluster.local",),
        help="Issuers of service-account tokens: the first one signs, all are accepted.",
    )
    service_account_key_file: tuple[str, ...] = option(
        (), help="Public or private keys (PEM) that verify service-account tokens."
    )
    service_account_signing_key_file: Path | None = option(
        None,
        help="Private key (PEM) that signs service-account tokens. Default: a key that dies with the process.",
    )
    api_audiences: tuple[str, ...] = option((), help="Audiences of this API. Default: the issuers.")

    service_cluster_ip_range: tuple[str, ...] = option(
        ("10.96.0.0/16",),
        help="CIDRs for the addresses of Services; a second one of the other family is dual stack.",
    )
    service_node_port_range: str = option("30000-32767", help="Ports for Services of type NodePort.")

    kubelet_client_certificate: Path | None = option(None, help="Certificate (PEM) shown to agents.")
    kubelet_client_key: Path | None = option(None, help="Key (PEM) of the certificate shown to agents.")
    kubelet_certificate_authority: Path | None = option(
        None,
        help="CA bundle (PEM) that signed the agents' serving certificates. Default: they are not verified.",
    )

    api_level: str = option(DEFAULT_LEVEL, help=f"The published API version to serve: {' or '.join(LEVELS)}.")
    feature_gates: tuple[str, ...] = option(
        (), help="GATE=true|false pairs that change what the API level has on by default."
    )
    runtime_config: tuple[str, ...] = option(
        (),
        help="GROUP/VERSION[/RESOURCE]=true|false pairs, also for api/all, api/ga, api/beta and api/alpha: what is "
        "served besides the stable versions, or not at all.",
    )
    authorization_mode: tuple[str, ...] = option(
        ("Node", "RBAC"), help="Authorizers, in order: Node, RBAC, Webhook, AlwaysAllow (tests), AlwaysDeny."
    )
    authorization_config: Path | None = option(
        None, help="AuthorizationConfiguration file: the authorizers in order, instead of the mode flags."
    )
    authorization_webhook_config_file: Path | None = option(
        None, help="kubeconfig of the webhook of mode Webhook."
    )
    authorization_webhook_version: str = option(
        "v1beta1", help="Version of SubjectAccessReview that the webhook gets: v1 or v1beta1."
    )
    authorization_webhook_cache_authorized_ttl: float = option(
        300.0, help="Seconds that the webhook's allowing answers are kept."
    )
    authorization_webhook_cache_unauthorized_ttl: float = option(
        30.0, help="Seconds that its other answers are kept."
    )
    anonymous_auth: bool = option(True, help="Whether requests without credentials are system:anonymous.")
    request_timeout: float = option(60.0, help="Seconds a request may take, watches and streams apart.")
    min_request_timeout: int = option(1800, help="Seconds after which a watch ends (up to twice that).")
    audit_policy_file: Path | None = option(
        None, help="Audit policy (audit.k8s.io/v1 Policy). Default: nothing is recorded."
    )
    audit_log_path: str = option("", help="File that audit events are appended to; - is standard output.")
    audit_log_maxage: int = option(0, help="Days that turned-over audit logs are kept; 0 is without limit.")
    audit_log_maxbackup: int = option(0, help="Turned-over audit logs that are kept; 0 is without limit.")
    audit_log_maxsize: int = option(
        0, help="Megabytes after which the audit log is turned over; 0 is 100, as upstream."
    )
    audit_log_compress: bool = option(False, help="Whether turned-over audit logs are compressed with gzip.")
    audit_log_format: str = option("json", help="json, or legacy: one line of text per event.")
    audit_log_mode: str = option(
        "blocking",
        help="blocking writes before the answer, blocking-strict also refuses requests whose event cannot be "
        "written, batch writes later.",
    )
    audit_log_batch_buffer_size: int = option(10000, help="Events that may wait to be written in mode batch.")
    audit_log_truncate_enabled: bool = option(False, help="Whether large events lose their objects.")
    audit_log_truncate_max_event_size: int = option(102400, help="Bytes of an event, when truncating.")
    audit_log_truncate_max_batch_size: int = option(10485760, help="Bytes of a batch, when truncating.")
    audit_webhook_config_file: Path | None = option(
        None, help="Kubeconfig of the server that audit events are sent to. Default: none are sent."
    )
    audit_webhook_mode: str = option("batch", help="batch, blocking or blocking-strict, as for the log.")
    audit_webhook_initial_backoff: float = option(
        10.0, help="Seconds before a failed call is repeated; half as long again after each further failure."
    )
    audit_webhook_batch_buffer_size: int = option(10000, help="Events that may wait to be sent.")
    audit_webhook_batch_max_size: int = option(400, help="Events per call.")
    audit_webhook_batch_max_wait: float = option(30.0, help="Seconds after which a batch goes out unfilled.")
    audit_webhook_batch_throttle_qps: float = option(
        10.0, help="Calls per second on average; 0 does not limit them."
    )
    audit_webhook_truncate_enabled: bool = option(False, help="Whether large events lose their objects.")
    audit_webhook_truncate_max_event_size: int = option(102400, help="Bytes of an event, when truncating.")
    audit_webhook_truncate_max_batch_size: int = option(10485760, help="Bytes of a batch, when truncating.")
    enable_priority_and_fairness: bool = option(
        True, help="Whether requests queue fairly by FlowSchemas and PriorityLevelConfigurations."
    )
    max_requests_inflight: int = option(
        400,
        help="Reads under way together, per process. With priority and fairness on: part of the seats that all "
        "priority levels share. 0 is no limit, without it.",
    )
    max_mutating_requests_inflight: int = option(
        200,
        help="Writes under way together, per process. With priority and fairness on: the rest of the seats.",
    )
    event_ttl: int = option(3600, help="Seconds that events are kept.")
    shutdown_delay_duration: float = option(
        0.0,
        help="Seconds to go on serving after a SIGTERM while readyz fails, so that load balancers turn away first.",
    )
    shutdown_grace: float = option(10.0, help="Seconds that requests have to finish after a SIGTERM.")
    log_level: str = option("info", help="debug, info, warning or error.")
