"""From guardian.yaml to ports: one client per place, made when first needed and shared by all that need it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

from guardian import catalog
from guardian.catalog import Port
from guardian.config.settings import Environment, Metrics, Settings
from guardian.core.model import Place
from guardian.core.policy import Adapter, Policy
from guardian.core.rollout import Rollout
from guardian.errors import ConfigError, UnknownEnvironment
from guardian.ports import Clock, MetricSource, PastSource, Target
from guardian.runtime.equipment import Equipment
from guardian.runtime.steady import SteadyClock

_PROBE_TIMEOUT: Final = 10.0
_Spot = tuple[str, str]
"""Environment and region."""


class Connections:
    """Finds what rollouts act and measure through. `close` ends every connection that was made."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._made: dict[tuple[object, ...], Any] = {}
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def equip(self, rollout: Rollout) -> Equipment:
        """Return the rollout's ports. Raises ConfigError or PolicyError when they are not to be had."""
        return self.ports_of(rollout.policy, rollout.place)

    def ports_of(self, policy: Policy, place: Place) -> Equipment:
        """Return the ports of a place under a policy, with or without a rollout."""
        router = self._port(Port.ROUTER, policy.router, place)
        workload = self._port(Port.WORKLOAD, policy.workload, place)
        probes = [self._port(Port.PROBE, probe, place) for probe in policy.probes]
        return Equipment(
            router=router,
            workload=workload,
            inspection=workload if workload is not None and hasattr(workload[0], "stable_revision") else None,
            readiness=workload if workload is not None and hasattr(workload[0], "ready") else None,
            probes=tuple(probe for probe in probes if probe is not None),
        )

    def source(self, place: Place) -> MetricSource | None:
        """Return where a place is measured; None when guardian.yaml names nothing."""
        environment = self._environment((place.environment, place.region))
        if environment.metrics is None:
            return None
        source: MetricSource = self._metrics((place.environment, place.region), environment.metrics)
        return source

    def past(self, place: Place) -> Callable[[], PastSource] | None:
        """Return how to come by who knows the past of a place; None when guardian.yaml names nobody to ask."""
        spot = (place.environment, place.region)
        try:
            metrics = self._environment(spot).metrics
        except UnknownEnvironment:
            return None
        if metrics is None or metrics.url is None:
            return None
        return partial(self._once, ("past", spot), partial(self._past, metrics))

    def takers(self) -> list[Any]:
        """Return the sources that remote write feeds, one per environment and region that streams."""
        return [self._metrics(spot, metrics) for spot, metrics in self._streaming()]

    def watch(self, policies: Iterable[Policy]) -> None:
        """Have streamed sources keep what these policies will measure, before anybody asks for it."""
        for policy in policies:
            for spot, metrics in self._streaming():
                if policy.match.environment in ("", spot[0]):
                    place = Place(service=policy.match.service, environment=spot[0], region=spot[1])
                    self._metrics(spot, metrics).watch(place, policy.guardrails, policy.labels)

    async def close(self) -> None:
        """End the connections, newest first."""
        while self._closers:
            await self._closers.pop()()

    def _port(self, port: Port, adapter: Adapter | None, place: Place) -> tuple[Any, Target] | None:
        if adapter is None:
            return None
        spot = (place.environment, place.region)
        made = self._once((port, adapter.kind, spot), lambda: self._adapter(port, adapter.kind, spot))
        return made, Target(place=place, options=dict(adapter.options))

    def _adapter(self, port: Port, kind: str, spot: _Spot) -> Any:
        found = catalog.find(port, kind)
        builders = {
            (Port.ROUTER, "haproxy"): self._haproxy,
            (Port.ROUTER, "istio"): self._kubernetes,
            (Port.WORKLOAD, "deployment"): self._kubernetes,
            (Port.PROBE, "http"): self._http_probe,
        }
        build = builders.get((port, kind))
        if build is not None:
            return build(found, spot)
        return found.create(self._environment(spot)) if hasattr(found, "create") else found()

    def _haproxy(self, found: Any, spot: _Spot) -> Any:
        process = catalog.imported("guardian.adapters.routers.haproxy:HaproxyProcess")
        sockets = self._environment(spot).haproxy
        if not sockets:
            raise ConfigError(
                f"environment '{spot[0]}' has no HAProxy",
                where="guardian.yaml",
                remedy=f"add environments.{spot[0]}.haproxy: {{NAME: {{socket: PATH}}}}",
            )
        return found(
            {name: process(socket=one.socket, tcp=one.tcp, timeout=one.timeout) for name, one in sockets.items()}
        )

    def _kubernetes(self, found: Any, spot: _Spot) -> Any:
        environment = self._environment(spot)
        return found(self._once(("cluster", spot), lambda: self._cluster(environment)), namespace=environment.namespace)

    def _cluster(self, environment: Environment) -> Any:
        connect = catalog.imported("guardian.adapters._kube:KubeClient").connect
        cluster = connect(
            kubeconfig=environment.kubeconfig, context=environment.context, in_cluster=environment.in_cluster
        )
        self._closers.append(cluster.close)
        return cluster

    def _http_probe(self, found: Any, _spot: _Spot) -> Any:
        client = catalog.imported("guardian.adapters._http:HttpClient")(timeout=_PROBE_TIMEOUT)
        self._closers.append(client.close)
        return found(client)

    def _metrics(self, spot: _Spot, metrics: Metrics) -> Any:
        return self._once(("metrics", spot), lambda: self._source(metrics))

    def _source(self, metrics: Metrics) -> Any:
        polled = self._polled(metrics) if metrics.url is not None else None
        if not metrics.stream:
            return polled
        limits = self._settings.limits
        room = catalog.imported("guardian.adapters.metrics.streamed:Room")
        return catalog.imported(catalog.METRIC_SOURCES["streamed"])(
            clock=self._clock,
            past=polled,
            everywhere=metrics.labels,
            dropped=metrics.drop_labels,
            room=room(series=limits.series, body=limits.write_body),
            ahead=self._clock.ahead if isinstance(self._clock, SteadyClock) else lambda: 0.0,
        )

    def _past(self, metrics: Metrics) -> Any:
        return catalog.imported("guardian.adapters.metrics.past:PrometheusPast")(
            url=metrics.url,
            client=self._client(metrics),
            everywhere=metrics.labels,
            dropped=metrics.drop_labels,
            step=metrics.scrape_interval,
        )

    def _client(self, metrics: Metrics) -> Any:
        login = catalog.imported("guardian.adapters._http:Login")(
            token=metrics.token.read if metrics.token else None,
            username=metrics.username,
            password=metrics.password.read if metrics.password else None,
        )
        client = catalog.imported("guardian.adapters._http:HttpClient")(
            timeout=metrics.timeout, ca=metrics.ca, login=login
        )
        self._closers.append(client.close)
        return client

    def _polled(self, metrics: Metrics) -> Any:
        return catalog.imported(catalog.METRIC_SOURCES["polled"])(
            url=metrics.url,
            client=self._client(metrics),
            clock=self._clock,
            everywhere=metrics.labels,
            dropped=metrics.drop_labels,
            scrape_interval=metrics.scrape_interval,
        )

    def _streaming(self) -> list[tuple[_Spot, Metrics]]:
        spots = [
            (name, region)
            for name, environment in self._settings.environments.items()
            for region in ("", *environment.regions)
        ]
        found = ((spot, self._environment(spot).metrics) for spot in spots)
        return [(spot, metrics) for spot, metrics in found if metrics is not None and metrics.stream]

    def _environment(self, spot: _Spot) -> Environment:
        found: Environment = self._once(("environment", spot), lambda: self._settings.place(*spot))
        return found

    def _once(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """Return what was made under this key, or make it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
