"""Admission webhooks over real TLS: patches, refusals with their words, failures closed and open, dry runs."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from kdist.api.kinds import SERVICES, Kind
from kdist.apiserver.admission.webhooks.client import CallError, WebhookClient
from kdist.apiserver.admission.webhooks.configuration import parse
from kdist.apiserver.request import Request as HttpRequest
from kdist.apiserver.selfsigned import serving_certificate

from .conftest import Api

Obj = dict[str, Any]
GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


class Hook:
    """A webhook server that answers what ``respond`` makes of the question."""

    def __init__(self) -> None:
        self.asked: list[Obj] = []
        self.respond: Callable[[Obj], Obj] = lambda _: {"allowed": True}
        self.port = 0
        self.ca = ""

    async def serve(self, request: web.Request) -> web.Response:
        review = orjson.loads(await request.read())
        self.asked.append(review["request"])
        review["response"] = {"uid": review["request"]["uid"], **self.respond(review["request"])}
        return web.json_response(review)

    def configuration(self, kind: str, **fields: Any) -> Obj:
        rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        hook = {
            "name": "check.example.com",
            "rules": [rule],
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}/", "caBundle": self.ca},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 2,
            **fields,
        }
        return {"metadata": {"name": f"{kind}-test"}, "webhooks": [hook]}

    async def install(self, api: Api, kind: str, **fields: Any) -> None:
        await install(api, kind, self.configuration(kind, **fields))


async def install(api: Api, kind: str, configuration: Obj) -> None:
    """Create a configuration and wait until admission has it."""
    await seen(api, kind, await api.make(f"{GROUP}/{kind}webhookconfigurations", configuration))


async def seen(api: Api, kind: str, written: Obj) -> None:
    """Wait until the watch cache, and so admission, has what was written."""
    version = written["metadata"]["resourceVersion"]
    await api("GET", f"{GROUP}/{kind}webhookconfigurations?resourceVersion={version}")


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    hook = Hook()
    pems = serving_certificate(["127.0.0.1"])
    for name, pem in zip(("crt", "key"), pems, strict=True):
        (tmp_path / name).write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    app = web.Application()
    app.router.add_post("/", hook.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    hook.port = runner.addresses[0][1]
    hook.ca = base64.b64encode(pems[0]).decode()
    yield hook
    await runner.cleanup()


def patch(*operations: Obj) -> Obj:
    return {
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(orjson.dumps(operations)).decode(),
    }


async def test_mutating_webhook_patches_the_object(api: Api, hook: Hook) -> None:
    hook.respond = lambda _: {
        **patch({"op": "add", "path": "/data", "value": {"added": "yes"}}),
        "warnings": ["mind this"],
    }
    await hook.install(api, "mutating")
    answer = await api("POST", MAPS, {"metadata": {"name": "m"}})
    assert answer.status == 201 and answer.json["data"] == {"added": "yes"}
    assert answer.headers["warning"] == '299 - "mind this"'
    asked = hook.asked[0]
    assert (asked["operation"], asked["name"], asked["namespace"]) == ("CREATE", "m", "default")
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["oldObject"] is None and asked["object"]["apiVersion"] == "v1"


async def test_a_patched_object_is_created_as_completely_as_any(api: Api, hook: Hook) -> None:
    hook.respond = lambda _: patch({"op": "add", "path": "/data", "value": {"added": "yes"}})
    await hook.install(api, "mutating")
    made = await api.make(MAPS, {"metadata": {"generateName": "m-"}})
    metadata = made["metadata"]
    assert metadata["uid"] and metadata["creationTimestamp"] and metadata["name"].startswith("m-")


async def test_validating_webhook_refuses_in_its_own_words(api: Api, hook: Hook) -> None:
    hook.respond = lambda _: {"allowed": False, "status": {"code": 418, "message": "no tea", "reason": "Pot"}}
    await hook.install(api, "validating")
    answer = await api("POST", MAPS, {"metadata": {"name": "m"}})
    assert answer.status == 418 and answer.json["reason"] == "Pot"
    assert answer.json["message"] == 'admission webhook "check.example.com" denied the request: no tea'


async def test_unselected_namespaces_and_objects_are_not_asked_about(api: Api, hook: Hook) -> None:
    hook.respond = lambda _: {"allowed": False}
    await hook.install(
        api,
        "validating",
        namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "default"}},
        objectSelector={"matchLabels": {"check": "me"}},
    )
    await api.make("/api/v1/namespaces", {"metadata": {"name": "other"}})
    labelled = {"metadata": {"name": "m", "labels": {"check": "me"}}}
    await api.make(MAPS, {"metadata": {"name": "plain"}})
    await api.make("/api/v1/namespaces/other/configmaps", labelled)
    assert hook.asked == []
    answer = await api("POST", MAPS, labelled)
    assert answer.status == 400 and answer.json["message"].endswith("denied the request without explanation")


async def test_deletion_shows_the_old_object(api: Api, hook: Hook) -> None:
    await api.make(MAPS, {"metadata": {"name": "m"}})
    await hook.install(api, "validating")
    assert (await api("DELETE", f"{MAPS}/m")).status == 200
    assert hook.asked[0]["object"] is None and hook.asked[0]["oldObject"]["metadata"]["name"] == "m"


async def test_unreachable_webhook_fails_closed_or_is_ignored(api: Api, hook: Hook) -> None:
    nowhere = {"service": {"namespace": "default", "name": "gone", "path": "/x"}}
    await hook.install(api, "validating", clientConfig=nowhere)
    answer = await api("POST", MAPS, {"metadata": {"name": "m"}})
    assert answer.status == 500
    assert answer.json["message"] == (
        'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: '
        'Post "https://gone.default.svc:443/x?timeout=2s": service "gone" not found'
    )
    at = f"{GROUP}/validatingwebhookconfigurations/validating-test"
    changed = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    patched = await api("PATCH", at, changed, {"content-type": "application/json-patch+json"})
    await seen(api, "validating", patched.json)
    await api.make(MAPS, {"metadata": {"name": "m"}})


async def test_second_round_asks_only_hooks_that_want_it(api: Api, hook: Hook) -> None:
    def respond(request: Obj) -> Obj:
        if len(hook.asked) == 2:
            return patch({"op": "add", "path": "/data", "value": {"by": "second"}})
        return {"allowed": True}

    hook.respond = respond
    configuration = hook.configuration("mutating", reinvocationPolicy="IfNeeded")
    again = {**configuration["webhooks"][0], "name": "second.example.com", "reinvocationPolicy": "Never"}
    configuration["webhooks"].append(again)
    await install(api, "mutating", configuration)
    await api.make(MAPS, {"metadata": {"name": "m"}})
    assert [asked["object"].get("data") for asked in hook.asked] == [None, None, {"by": "second"}]


class _Reader:
    """A Service ``kubernetes`` and any other, whose endpoint is the hook."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, kind: Kind, namespace: str | None, name: str) -> Obj:
        if kind == SERVICES:
            return {"spec": {"ports": [{"name": "https", "port": 443}]}}
        ports = [{"name": "https", "port": self._port}]
        return {"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": ports}]}


async def test_service_is_reached_at_an_endpoint_under_its_own_name(hook: Hook) -> None:
    client = WebhookClient(_Reader(hook.port))  # type: ignore[arg-type]

    async def call(name: str) -> bytes:
        service = {"namespace": "default", "name": name, "port": 443}
        configuration = hook.configuration(
            "validating", clientConfig={"service": service, "caBundle": hook.ca}
        )
        return await client.call(parse("c", configuration)[0], {"request": {"uid": "u"}})

    try:
        assert orjson.loads(await call("kubernetes"))["response"]["allowed"] is True
        with pytest.raises(CallError, match="CERTIFICATE_VERIFY_FAILED"):
            await call("impostor")  # the certificate is good for kubernetes.default.svc only
    finally:
        await client.close()


async def test_webhooks_are_counted_and_told_to_the_audit_log(
    api: Api, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(HttpRequest, "annotate", lambda _, key, value: told.setdefault(key, value))
    hook.respond = lambda _: {
        **patch({"op": "add", "path": "/data", "value": {"added": "yes"}}),
        "auditAnnotations": {"why": "because"},
    }
    await hook.install(api, "mutating", name="count.example.com")
    await api.make(MAPS, {"metadata": {"name": "m"}})
    place = "round_0_index_0"
    about = {"configuration": "mutating-test", "webhook": "count.example.com"}
    assert told["count.example.com/why"] == "because"
    assert orjson.loads(told[f"mutation.webhook.admission.k8s.io/{place}"]) == {**about, "mutated": True}
    operations = [{"op": "add", "path": "/data", "value": {"added": "yes"}}]
    assert orjson.loads(told[f"patch.webhook.admission.k8s.io/{place}"]) == {
        **about,
        "patch": operations,
        "patchType": "JSONPatch",
    }
    hook.respond = lambda _: {"allowed": False, "status": {"code": 403, "message": "no"}}
    assert (await api("POST", MAPS, {"metadata": {"name": "n"}})).status == 403
    metrics = (await api("GET", "/metrics")).body.decode()
    named = 'name="count.example.com",type="admit",operation="CREATE"'
    for line in (
        f'apiserver_admission_webhook_admission_duration_seconds_count{{{named},rejected="false"}} 1',
        f'apiserver_admission_webhook_request_total{{{named},code="200",rejected="false"}} 1',
        f'apiserver_admission_webhook_request_total{{{named},code="403",rejected="true"}} 1',
        f'apiserver_admission_webhook_rejection_count{{{named},error_type="no_error",rejection_code="403"}} 1',
        'authentication_duration_seconds_count{result="success"}',
        'authorization_duration_seconds_count{result="allowed"}',
    ):
        assert line in metrics, line


async def test_ignored_failures_of_webhooks_are_told(
    api: Api, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(HttpRequest, "annotate", lambda _, key, value: told.setdefault(key, value))
    closed = {"url": "https://127.0.0.1:1/", "caBundle": hook.ca}
    await hook.install(
        api, "validating", name="open.example.com", clientConfig=closed, failurePolicy="Ignore"
    )
    await api.make(MAPS, {"metadata": {"name": "m"}})
    key = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0"
    assert told[key] == "open.example.com"
    metrics = (await api("GET", "/metrics")).body.decode()
    counted = 'apiserver_admission_webhook_fail_open_count{name="open.example.com",type="validating"} 1'
    assert counted in metrics
