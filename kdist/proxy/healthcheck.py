"""Health check node ports: a load balancer asks which nodes have endpoints of a ``Local`` Service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from kdist.api import meta
from kdist.proxy.plan import ServicePlan
from kdist.telemetry import log as logs

log = logs.get(__name__)


@dataclass(slots=True)
class HealthChecks:
    """One small HTTP server per health check node port; :meth:`sync` opens and closes them."""

    _runners: dict[int, web.AppRunner] = field(default_factory=dict)
    # port -> (Service, endpoints on this node)
    _answers: dict[int, tuple[str, int]] = field(default_factory=dict)

    async def sync(self, plans: Iterable[tuple[str, ServicePlan]]) -> None:
        """Serve exactly the ports that ``plans`` ask for. A taken port is reported and tried again later."""
        self._answers = {}
        for service, plan in plans:
            if port := plan.health_check_port:
                # A pod with an address of each family is in the plans of both, and is one endpoint.
                _, known = self._answers.get(port, (service, 0))
                self._answers[port] = service, max(known, plan.local_endpoints)
        for port in self._runners.keys() - self._answers.keys():
            await self._runners.pop(port).cleanup()
        for port in self._answers.keys() - self._runners.keys():
            await self._open(port)

    async def close(self) -> None:
        """Close every port."""
        await self.sync(())

    async def _open(self, port: int) -> None:
        async def answer(_: web.Request) -> web.Response:
            return self._answer(port)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, None, port).start()
        except OSError as error:
            log.warning("cannot open health check node port", port=port, error=error)
            await runner.cleanup()
        else:
            self._runners[port] = runner

    def _answer(self, port: int) -> web.Response:
        service, count = self._answers.get(port, ("", 0))
        namespace, name = meta.split_key(service)
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": True,
        }
        return web.json_response(body, status=200 if count else 503)
