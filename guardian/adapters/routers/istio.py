"""Istio as a router: the weights of one VirtualService, whose route already names both tracks.

Options: `namespace` (default: the environment's), `virtual_service` (default: the service), `route` (name
of the HTTP route; default: every route that names both tracks), `stable` and `canary` (subset names;
default: stable, canary), or `stable_host` and `canary_host` instead of subsets. Weights that are whole
percents are written as such, finer ones in parts of 10,000: Istio takes each destination's part of the sum.
Istio cannot tell what it served.

Fencing: compare-and-set on the object's resourceVersion. Source: istio.io, VirtualService,
HTTPRouteDestination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from guardian.adapters import _options
from guardian.adapters._kube import Json, Kind, KubeClient
from guardian.core.model import Share, Weight
from guardian.errors import Refused
from guardian.ports import Target

VIRTUAL_SERVICE: Final = Kind(group="networking.istio.io", version="v1", plural="virtualservices")
OPTIONS: Final = (
    "namespace", "virtual_service", "route", "stable", "canary", "stable_host", "canary_host", "api_version",
)  # fmt: skip
PERCENTS, FINE = 100, 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Which VirtualService, which of its routes, and how each track's destination is recognised."""

    kind: Kind
    namespace: str
    name: str
    route: str
    stable: tuple[str, str]
    canary: tuple[str, str]

    def track_of(self, destination: Json) -> str:
        """Return `stable`, `canary` or nothing."""
        for track, (key, value) in (("stable", self.stable), ("canary", self.canary)):
            if destination.get("destination", {}).get(key) == value:
                return track
        return ""


def routes_of(target: Target, *, namespace: str) -> Routes:
    """Return what a target's options name."""
    _options.allowed(target, OPTIONS, kind="router istio")
    by_host = "canary_host" in target.options or "stable_host" in target.options
    service = target.place.service
    tracks = {
        track: ("host", _options.text(target, f"{track}_host", service if track == "stable" else None))
        if by_host
        else ("subset", _options.text(target, track, track))
        for track in ("stable", "canary")
    }
    version = _options.text(target, "api_version", VIRTUAL_SERVICE.version)
    return Routes(
        kind=Kind(group=VIRTUAL_SERVICE.group, version=version, plural=VIRTUAL_SERVICE.plural),
        namespace=_options.text(target, "namespace", namespace),
        name=_options.text(target, "virtual_service", service),
        route=str(target.options.get("route", "")),
        stable=tracks["stable"],
        canary=tracks["canary"],
    )


def parts(weight: Weight) -> tuple[int, int]:
    """Return the whole-number weights of stable and canary; neither is 0 unless the share is 0 or 1.

    >>> parts(0.1), parts(0.125), parts(0.00001), parts(1.0)
    ((90, 10), (8750, 1250), (9999, 1), (0, 100))
    """
    percent = weight * PERCENTS
    if weight in {0.0, 1.0} or (abs(percent - round(percent)) < 1e-9 and 0 < round(percent) < PERCENTS):
        return PERCENTS - round(percent), round(percent)
    canary = min(max(round(weight * FINE), 1), FINE - 1)
    return FINE - canary, canary


def weighted(found: Json, routes: Routes, weight: Weight) -> Json | None:
    """Return the patch that gives both tracks their weights; None when they have them. Raises Refused."""
    stable, canary = parts(weight)
    wanted = {"stable": stable, "canary": canary}
    http = [dict(route) for route in found["spec"].get("http", [])]
    changed = False
    for route in _both(http, routes, str(found["metadata"]["name"])):
        if abs(_share(route["route"], routes) - weight) < 1e-9:
            continue
        route["route"] = [{**one, "weight": wanted[routes.track_of(one)]} for one in route["route"]]
        changed = True
    return {"spec": {"http": http}} if changed else None


def accepted(found: Json, routes: Routes) -> Weight:
    """Return the canary's share as configured; of several routes, the largest. Raises Refused."""
    http = found["spec"].get("http", [])
    return Weight(max(_share(route["route"], routes) for route in _both(http, routes, routes.name)))


def _both(http: list[Json], routes: Routes, name: str) -> list[Json]:
    """Return the routes to set: those that name both tracks, and nothing else."""
    found = [route for route in http if routes.route in {"", route.get("name", "")} and _has_both(route, routes)]
    if not found:
        told = f"route '{routes.route}'" if routes.route else "no route"
        raise Refused(
            f"{told} of VirtualService {name} leads to {_shown(routes.stable)} and {_shown(routes.canary)}",
            where=f"namespace {routes.namespace}",
            remedy="give the route both destinations, the canary with weight 0, or name them in the policy",
        )
    for route in found:
        others = [one for one in route["route"] if not routes.track_of(one)]
        if others:
            raise Refused(
                f"a route of VirtualService {name} leads to a third destination: {others[0].get('destination')}",
                where=f"namespace {routes.namespace}",
                remedy="leave two destinations, or name another route in the policy",
            )
    return found


def _has_both(route: Json, routes: Routes) -> bool:
    return {routes.track_of(one) for one in route.get("route", [])} >= {"stable", "canary"}


def _shown(destination: tuple[str, str]) -> str:
    return f"{destination[0]} '{destination[1]}'"


def _share(destinations: list[Any], routes: Routes) -> float:
    total = {"stable": 0, "canary": 0}
    for one in destinations:
        total[routes.track_of(one)] += int(one.get("weight", 0))
    whole = sum(total.values())
    return total["canary"] / whole if whole else 0.0


class IstioRouter:
    """Router over VirtualServices of one cluster. namespace: where they are when the policy does not say."""

    def __init__(self, cluster: KubeClient, *, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace

    async def set_weight(self, target: Target, weight: Weight) -> None:
        """Write both weights, unless they are there. See Router."""
        routes = routes_of(target, namespace=self._namespace)
        await self._cluster.change(
            routes.kind, routes.namespace, routes.name, lambda found: weighted(found, routes, weight)
        )

    async def accepted_weight(self, target: Target) -> Weight:
        """Return the canary's share as configured; of several routes, the largest."""
        routes = routes_of(target, namespace=self._namespace)
        return accepted(await self._cluster.get(routes.kind, routes.namespace, routes.name), routes)

    async def observed_share(self, target: Target) -> Share | None:
        """Return None: the configuration does not say what was served."""
        routes_of(target, namespace=self._namespace)
        return None

    async def check(self, target: Target) -> None:
        """Raise Refused when the weights could not be set: names, destinations, rights. Changes nothing."""
        routes = routes_of(target, namespace=self._namespace)
        await self._cluster.need(("get", "patch"), routes.kind, routes.namespace, routes.name)
        await self.accepted_weight(target)
