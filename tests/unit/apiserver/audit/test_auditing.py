"""Audit events of requests through the whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn import LOOPBACK
from kdist.apiserver.lifecycle import ApiServer, serve
from kdist.config.apiserver import ApiServerSettings

Obj = dict[str, Any]
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: [/healthz*]}
- {level: RequestResponse, resources: [{resources: [configmaps]}], omitStages: [RequestReceived]}
- {level: Metadata}
"""


class _Authenticator:
    refuses = False

    async def authenticate(self, scope: Obj, headers: Any = None) -> Any:
        if self.refuses:
            raise Unauthorized("Unauthorized")
        return LOOPBACK


class Audited:
    """A server that records."""

    def __init__(self, server: ApiServer, log: Path) -> None:
        self.server, self.log = server, log

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "client": ("192.0.2.7", 1234),
            "state": {},
            "extensions": {},
        }
        raw = b"" if body is None else orjson.dumps(body)
        sent: list[Obj] = []

        async def receive() -> Obj:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Obj) -> None:
            sent.append(message)

        await self.server.app(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    def events(self) -> list[Obj]:
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    server = ApiServer(
        ApiServerSettings(
            storage="memory",
            bind_address="127.0.0.1",
            secure_port=0,
            advertise_address="192.0.2.10",
            shutdown_grace=0.1,
            audit_policy_file=tmp_path / "policy.yaml",
            audit_log_path=str(tmp_path / "audit.log"),
        )
    )
    server.core.authenticator = _Authenticator()  # type: ignore[assignment]
    await server.start()
    yield Audited(server, tmp_path / "audit.log")
    await server.stop()


N = "/api/v1/namespaces/default"


async def test_a_write_is_recorded_with_what_was_asked_and_answered(audited: Audited) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    assert await audited("POST", f"{N}/configmaps", obj, user_agent="test/1", audit_id="abc") == 201
    (event,) = audited.events()
    assert {key: event[key] for key in ("kind", "apiVersion", "level", "auditID", "stage", "verb")} == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "abc",
        "stage": "ResponseComplete",
        "verb": "create",
    }
    assert event["requestURI"] == f"{N}/configmaps"
    assert event["sourceIPs"] == ["192.0.2.7"]
    assert event["user"]["username"] == "system:apiserver"
    assert event["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "a",
        "apiVersion": "v1",
    }
    assert event["requestObject"]["data"] == {"k": "v"}
    assert event["responseObject"]["metadata"]["uid"]
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_metadata_has_two_stages_and_no_objects(audited: Audited) -> None:
    assert await audited("GET", f"{N}/pods") == 200
    received, complete = audited.events()
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert "responseStatus" not in received
    assert not {"requestObject", "responseObject"} & set(complete)


async def test_an_error_is_recorded_with_its_status(audited: Audited) -> None:
    assert await audited("GET", f"{N}/configmaps/none") == 404
    (event,) = audited.events()
    assert (event["responseStatus"]["reason"], event["responseStatus"]["code"]) == ("NotFound", 404)


async def test_a_patch_is_recorded_as_it_came(audited: Audited) -> None:
    await audited("POST", f"{N}/configmaps", {"metadata": {"name": "a"}})
    patch = {"data": {"x": "y"}}
    await audited("PATCH", f"{N}/configmaps/a", patch, content_type="application/merge-patch+json")
    assert audited.events()[-1]["requestObject"] == patch


async def test_what_the_policy_leaves_out_is_not_recorded(audited: Audited) -> None:
    assert await audited("GET", "/healthz") == 200
    assert not audited.log.exists() or audited.events() == []


async def test_a_request_of_nobody_is_recorded_once_with_what_was_tried(audited: Audited) -> None:
    audited.server.core.authenticator.refuses = True  # type: ignore[attr-defined]
    assert await audited("GET", f"{N}/pods", authorization="Bearer nonsense") == 401
    (event,) = audited.events()
    assert (event["stage"], event["responseStatus"]["code"]) == ("ResponseStarted", 401)
    assert event["responseStatus"]["message"] == "Authentication failed, attempted: bearer"
    assert event["user"] == {}


async def test_impersonation_names_both_users(audited: Audited) -> None:
    await audited("GET", f"{N}/pods", impersonate_user="alice")
    event = audited.events()[-1]
    assert event["user"]["username"] == "system:apiserver"
    assert event["impersonatedUser"]["username"] == "alice"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_a_log_that_must_be_written_and_cannot_refuses_requests(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    settings = ApiServerSettings(
        storage="memory",
        bind_address="127.0.0.1",
        secure_port=0,
        advertise_address="192.0.2.10",
        shutdown_grace=0.1,
        audit_policy_file=tmp_path / "policy.yaml",
        audit_log_path="/dev/full",
        audit_log_mode="blocking-strict",
    )
    server = ApiServer(settings)
    server.core.authenticator = _Authenticator()  # type: ignore[assignment]
    await server.start()
    assert await Audited(server, tmp_path / "none")("GET", f"{N}/pods") == 500
    await server.stop()


async def test_pod_security_tells_the_audit_what_a_stricter_standard_would_refuse(audited: Audited) -> None:
    labels = {"pod-security.kubernetes.io/audit": "restricted"}
    await audited("POST", "/api/v1/namespaces", {"metadata": {"name": "x", "labels": labels}})
    await audited("POST", "/api/v1/namespaces/x/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert await audited("POST", "/api/v1/namespaces/x/pods", pod) == 201
    annotations = audited.events()[-1]["annotations"]
    assert annotations["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
    violations = annotations["pod-security.kubernetes.io/audit-violations"]
    assert violations.startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation')


async def test_a_server_that_records_goes_on_until_it_is_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    settings = ApiServerSettings(
        storage="memory",
        bind_address="127.0.0.1",
        secure_port=0,
        advertise_address="192.0.2.10",
        shutdown_grace=0.1,
        audit_policy_file=tmp_path / "policy.yaml",
        audit_log_path=str(tmp_path / "audit.log"),
    )
    ready, stop = asyncio.Event(), asyncio.Event()
    served = asyncio.create_task(serve(settings, ready=ready, stop=stop))
    await ready.wait()
    done, _ = await asyncio.wait([served], timeout=0.5)
    assert not done
    stop.set()
    await served


async def test_a_wrong_policy_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("kind: Policy")
    settings = ApiServerSettings(
        storage="memory", bind_address="127.0.0.1", secure_port=0, audit_policy_file=tmp_path / "policy.yaml"
    )
    with pytest.raises(ValueError, match="apiVersion, kind"):
        await serve(settings)
