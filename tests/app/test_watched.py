"""Which services the monitor watches, by settings, policies and what was rolled out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from guardian.app.connections import Connections
from guardian.app.watched import watched
from guardian.config.settings import Settings
from guardian.core import records as r
from guardian.core.model import Phase, Place
from guardian.core.policies import Policies
from guardian.core.policy import Match, Policy
from guardian.core.world import World
from guardian.runtime.clock import SystemClock
from tests.builders import ERRORS, policy, requested
from tests.core.play import Play

PROMETHEUS = {"metrics": {"url": "http://127.0.0.1:9"}}
STREAM = {"metrics": {"stream": True}}


def places(
    environments: Mapping[str, Any], policies: Iterable[Policy], world: World | None = None
) -> list[tuple[str, str]]:
    """Who is watched, each as its place and the name of the policy."""
    settings = Settings.model_validate({"environments": environments})
    connections = Connections(settings, clock=SystemClock())
    found = watched(settings, Policies(policies), world or World(), connections.past)
    return [(str(one.place), one.policy.name) for one in found]


def anywhere(name: str = "checkout") -> Policy:
    """A policy that names no environment."""
    return policy(name=name, match=Match(service="checkout"))


def test_a_policy_is_watched_where_its_environment_has_a_past() -> None:
    """Streamed metrics have none, an environment that is not configured neither."""
    assert places({"production": PROMETHEUS}, [policy()]) == [("production/checkout", "checkout")]
    assert places({"production": STREAM}, [policy()]) == []
    assert places({"production": {}}, [policy()]) == []
    assert places({"staging": PROMETHEUS}, [policy()]) == []


def test_a_policy_without_an_environment_is_watched_in_all_that_no_other_policy_is_closer_to() -> None:
    """As rollouts find theirs."""
    both = {"production": PROMETHEUS, "staging": PROMETHEUS, "lab": STREAM}
    assert places(both, [anywhere()]) == [("production/checkout", "checkout"), ("staging/checkout", "checkout")]
    found = places(both, [anywhere("any"), policy()])
    assert found == [("staging/checkout", "any"), ("production/checkout", "checkout")]


def test_an_environment_with_regions_is_watched_in_each() -> None:
    """Each with its own Prometheus; one that only streams has no past."""
    regions = {"eu": {}, "us": {"metrics": {"url": "http://127.0.0.1:10"}}, "ap": STREAM}
    found = places({"production": {**PROMETHEUS, "regions": regions}}, [policy()])
    assert found == [("production/eu/checkout", "checkout"), ("production/us/checkout", "checkout")]


def test_a_policy_that_compares_nothing_is_not_watched() -> None:
    """There is no false rollback by evidence to count."""
    alone = policy(guardrails=(replace(ERRORS, compare=None),))
    assert places({"production": PROMETHEUS}, [alone]) == []


def test_a_rollout_is_watched_by_its_own_policy_while_it_is_open() -> None:
    """The policies on disk may have changed meanwhile; once it is over the one of that name counts."""
    play = Play()
    play.tell(requested())
    play.until(200.0)
    world = play.engine.world
    changed = policy(history=3000.0)
    twice = [("production/checkout", "checkout")] * 2
    assert places({"production": PROMETHEUS}, [policy()], world) == twice[:1]
    assert places({"production": PROMETHEUS}, [changed], world) == twice
    ended = world.copy()
    ended.apply(r.Ended(rollout=play.rollout.id, at=play.now, sequence=99, phase=Phase.ABORTED, reason="enough"))
    assert places({"production": PROMETHEUS}, [changed], ended) == twice[:1]


def test_a_rollout_elsewhere_or_by_a_policy_it_named_is_watched_too() -> None:
    """Services come from policies and from what was rolled out."""
    strict = policy(name="strict", match=Match(service="template"))
    play = Play(policies=(strict,))
    play.tell(requested(policy="strict", place=Place(service="checkout", environment="production", region="eu")))
    play.until(30.0)
    found = places({"production": PROMETHEUS}, [strict], play.engine.world)
    assert found == [("production/template", "strict"), ("production/eu/checkout", "strict")]
