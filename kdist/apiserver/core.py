"""What a request handler stands on: the scheme, one store and one pipeline per resource, the three gates.

Built by :mod:`kdist.apiserver.lifecycle`; handlers only read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdist.api.resources import Resource
from kdist.api.scheme import Scheme
from kdist.apiserver.flowcontrol.gate import Gate, Unlimited
from kdist.apiserver.handlers.rounds import Rounds
from kdist.apiserver.participants import NO_ADMISSION, Admission, Companions
from kdist.apiserver.pipeline import Pipeline
from kdist.apiserver.registry import Strategy, strategy_for
from kdist.apiserver.store import Store
from kdist.apiserver.streaming.forward import Forwarder
from kdist.config.apiserver import ApiServerSettings
from kdist.storage.hub import Hub
from kdist.storage.interface import Storage

if TYPE_CHECKING:
    from kdist.apiserver.aggregation.layer import Aggregation
    from kdist.apiserver.audit import Auditor
    from kdist.apiserver.authn import Authenticator
    from kdist.apiserver.authn.keys import KeySet
    from kdist.apiserver.authn.tokenrequest import TokenIssuer
    from kdist.apiserver.authz import Authorizer
    from kdist.apiserver.crd.strategy import CustomResourceStrategy
    from kdist.apiserver.tables.columns import Printer

Coordinates = tuple[str, str, str]


class Core:
    """The API server's parts. The annotated ones are set before the first request."""

    authenticator: Authenticator
    authorizer: Authorizer
    token_keys: KeySet
    token_issuer: TokenIssuer
    aggregation: Aggregation

    def __init__(self, settings: ApiServerSettings, scheme: Scheme, storage: Storage) -> None:
        self.settings = settings
        self.scheme = scheme
        self.storage = storage
        self.hub = Hub(storage)
        self.admission: Admission = NO_ADMISSION
        self.companions: Mapping[tuple[str, str], Companions] = {}
        #: The rules of custom resources, kept by :mod:`kdist.apiserver.crd.registration`.
        self.custom_strategies: dict[Coordinates, CustomResourceStrategy] = {}
        self.stopping = asyncio.Event()
        self.rounds = Rounds()
        self.compacted = 0  # revisions before it are forgotten, though caches may know them still
        self.draining = False  # readyz says no; requests are still served
        self.gate: Gate = Unlimited()
        self.auditor: Auditor | None = None
        self.forwarder = Forwarder()
        self._stores: dict[Coordinates, Store] = {}
        self._pipelines: dict[Coordinates, Pipeline] = {}
        self._inner: dict[Coordinates, Pipeline] = {}

    def store(self, resource: Resource) -> Store:
        """The storage side of a resource."""
        at = (resource.group, resource.version, resource.plural)
        store = self._stores.get(at)
        if store is None or store.resource is not resource:
            stored = self.scheme.stored_as(resource)
            strategy: Strategy = self.custom_strategies.get(at) or strategy_for(
                resource, self.scheme.schema_of(resource), self.scheme.features
            )
            store = self._stores[at] = Store(resource, stored, strategy, self.hub)
            if resource.plural == "events":
                store.ttl = self.settings.event_ttl
        return store

    def pipeline(self, resource: Resource) -> Pipeline:
        """The writes of a resource, with admission."""
        return self._pipeline(resource, self._pipelines, self.admission)

    def inner_pipeline(self, resource: Resource) -> Pipeline:
        """The writes of a resource below admission: the server's own."""
        return self._pipeline(resource, self._inner, NO_ADMISSION)

    def _pipeline(
        self, resource: Resource, known: dict[Coordinates, Pipeline], admission: Admission
    ) -> Pipeline:
        at = (resource.group, resource.version, resource.plural)
        pipeline = known.get(at)
        store = self.store(resource)
        if pipeline is None or pipeline.store is not store:
            pipeline = known[at] = Pipeline(
                store,
                admission,
                schema=self.scheme.schema_of(resource),
                companions=self.companions.get((resource.group, resource.plural)),
            )
        return pipeline

    def selectable_fields(self, resource: Resource) -> list[str]:
        """The paths of a custom resource's selectable fields."""
        strategy = self.custom_strategies.get((resource.group, resource.version, resource.plural))
        return strategy.selectable if strategy else []

    def object_count(self, group: str, plural: str) -> int | None:
        """How many objects of a resource there are; None when its cache is not loaded."""
        cache = self.hub.loaded(f"/registry/{group}/{plural}/" if group else f"/registry/{plural}/")
        if cache is None and group:  # groups that were there before groups had prefixes
            cache = self.hub.loaded(f"/registry/{plural}/")
        return None if cache is None else len(cache)

    def custom_printer(self, resource: Resource) -> Printer | None:
        """The columns of a custom resource; None for built-in ones."""
        strategy = self.custom_strategies.get((resource.group, resource.version, resource.plural))
        return strategy.printer if strategy else None
