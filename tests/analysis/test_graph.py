"""Who lies beneath whom, whatever is declared."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from analysis.graph import beneath, circle, reach

NAMES = "abcde"


def calls(edges: dict[str, list[str]], name: str) -> list[str]:
    """What a service calls; nothing where it is not known."""
    return edges.get(name, [])


GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4), max_size=5)


@given(GRAPHS)
def test_beneath_is_a_strict_partial_order_whatever_is_declared(edges: dict[str, list[str]]) -> None:
    """Two services are never beneath each other, so no two rollouts can wait for each other."""
    known = partial(calls, edges)
    for service in NAMES:
        lower = beneath(known, service)
        assert service not in lower
        for name in lower:
            assert service not in beneath(known, name)
            assert beneath(known, name) <= lower


@given(GRAPHS)
def test_a_circle_is_told_if_and_only_if_a_service_reaches_itself(edges: dict[str, list[str]]) -> None:
    """The way that is told can be walked along the edges that were declared."""
    known = partial(calls, edges)
    for service in NAMES:
        way = circle(known, service)
        assert bool(way) == (service in reach(known, service))
        assert all(later in known(earlier) for earlier, later in pairwise(way))


def test_a_service_that_is_not_known_calls_nobody() -> None:
    """Names of things without a rollout, such as a database, may stand in depends_on."""
    assert reach(partial(calls, {"web": ["database"]}), "web") == {"database"}
