"""VirtualServices read and patched, without a cluster: what is written, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardian.adapters.routers.istio import accepted, parts, routes_of, weighted
from guardian.core.model import Place, Weight
from guardian.errors import Refused
from guardian.ports import Target

CHECKOUT = Place(service="checkout", environment="production")


def found(*routes: dict[str, Any]) -> dict[str, Any]:
    """A VirtualService as the API server gives it."""
    return {"metadata": {"name": "checkout", "namespace": "shop"}, "spec": {"hosts": ["checkout"], "http": [*routes]}}


def route(stable: int | None, canary: int | None, name: str = "", **more: object) -> dict[str, Any]:
    """One HTTP route over two subsets."""
    split = [("stable", stable), ("canary", canary)]
    destinations = [
        {"destination": {"host": "checkout", "subset": subset}} | ({} if weight is None else {"weight": weight})
        for subset, weight in split
    ]
    return {"route": destinations} | ({"name": name} if name else {}) | more


def named(**options: object) -> Any:
    """What a policy names."""
    return routes_of(Target(place=CHECKOUT, options=options), namespace="shop")


@given(st.floats(0.0, 1.0))
@example(1e-300)
def test_what_is_written_is_what_was_ordered_to_a_ten_thousandth(weight: float) -> None:
    """And neither side gets nothing unless that was ordered."""
    patch = weighted(found(route(37, 63)), named(), Weight(weight))
    body = found(route(37, 63)) if patch is None else found() | patch
    share = accepted(body, named())
    assert share == pytest.approx(weight, abs=0.0001)
    assert (share > 0.0) == (weight > 0.0)
    assert (share < 1.0) == (weight < 1.0)


def test_whole_percents_are_written_as_percents() -> None:
    """As everybody else writes them."""
    assert [parts(Weight(p / 100)) for p in (0, 7, 29, 58, 100)] == [(100, 0), (93, 7), (71, 29), (42, 58), (0, 100)]


def test_everything_but_the_weights_stays() -> None:
    """Timeouts, matches and header rules belong to somebody else."""
    rules: dict[str, Any] = {
        "timeout": "3s",
        "match": [{"uri": {"prefix": "/"}}],
        "headers": {"request": {"set": {"a": "b"}}},
    }
    patch = weighted(found(route(100, 0, **rules)), named(), Weight(0.1))
    assert patch == {"spec": {"http": [route(90, 10, **rules)]}}


def test_a_weight_that_is_there_in_other_numbers_is_left() -> None:
    """9 and 1 are 10 % as much as 90 and 10."""
    assert weighted(found(route(9, 1)), named(), Weight(0.1)) is None


def test_all_routes_are_set_unless_one_is_named() -> None:
    """A VirtualService may lead to the service by several paths."""
    both = found(route(100, 0, "api"), route(100, 0, "web"), {"route": [{"destination": {"host": "static"}}]})
    patch = weighted(both, named(), Weight(0.5))
    assert patch is not None
    assert patch["spec"]["http"] == [
        route(50, 50, "api"), route(50, 50, "web"), {"route": [{"destination": {"host": "static"}}]},
    ]  # fmt: skip
    patch = weighted(both, named(route="web"), Weight(0.5))
    assert patch is not None
    assert patch["spec"]["http"][:2] == [route(100, 0, "api"), route(50, 50, "web")]


def test_of_several_routes_the_largest_share_is_accepted() -> None:
    """A rollback is done when the last route is."""
    assert accepted(found(route(100, 0, "api"), route(90, 10, "web")), named()) == 0.1


def test_tracks_may_be_told_by_host() -> None:
    """Two Services instead of two subsets."""
    destinations = [
        {"destination": {"host": "checkout"}, "weight": 75},
        {"destination": {"host": "checkout-canary"}, "weight": 25},
    ]
    assert accepted(found({"route": destinations}), named(canary_host="checkout-canary")) == 0.25


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        (found(), {}, "no route of VirtualService checkout leads to subset 'stable' and subset 'canary'"),
        (found(route(100, 0, "api")), {"route": "web"}, "route 'web' of VirtualService checkout"),
        (found(route(100, 0)), {"canary": "green"}, "subset 'green'"),
    ],
)
def test_a_route_that_does_not_lead_to_both_is_refused(
    body: dict[str, Any], options: dict[str, object], said: str
) -> None:
    """We set weights; making routes is for whoever owns the object."""
    with pytest.raises(Refused) as refused:
        weighted(body, named(**options), Weight(0.1))
    assert said in str(refused.value)
    assert "give the route both destinations" in refused.value.remedy
