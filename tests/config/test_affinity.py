"""Affinity as a policy writes it."""

from __future__ import annotations

import pytest

from tests.config.test_policy import COUNT, ERRORS, GAUGE, finding, policy


def written(text: str, guardrails: str = ERRORS) -> str:
    """Guardrails, and an affinity after them."""
    return f"{guardrails}  affinity: {text}\n"


def test_users_have_a_heavy_tail_and_one_in_ten_alike_unless_it_says_otherwise() -> None:
    """Requests and session must be said, for nobody else can know them; a visit is as long as the session."""
    affinity = policy(written("{requests: 30, session: 30m}")).affinity
    assert affinity is not None
    assert (affinity.session, affinity.visit) == (1800.0, 1800.0)
    assert (affinity.variation, affinity.correlation) == (2.0, 0.1)
    assert affinity.users.largest == 150.0


def test_what_is_said_of_users_is_what_the_core_reads() -> None:
    """Each key in its unit."""
    text = "{requests: 12.5, session: 1d, visit: 5m, variation: 0, correlation: 30%}"
    affinity = policy(written(text)).affinity
    assert affinity is not None
    assert (affinity.requests, affinity.session, affinity.visit) == (12.5, 86400.0, 300.0)
    assert affinity.users.largest == 12.5
    assert affinity.correlation == 0.3


def test_nobody_sticks_where_the_policy_says_nothing() -> None:
    """As before."""
    assert policy(ERRORS).affinity is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("{session: 30m}", "requests"),
        ("{requests: 30}", "session"),
        ("{requests: 0.5, session: 30m}", "is not allowed"),
        ("{requests: 30, session: 31d}", "is not allowed"),
        ("{requests: 30, session: 30}", "duration"),
        ("{requests: 30, session: 0s}", "does not say over which time"),
        ("{requests: 30, session: 0s, visit: 0s}", "is not allowed"),
        ("{requests: 30, session: 30m, correlation: 130%}", "130%"),
        ("{requests: 30, session: 30m, variation: -1}", "is not allowed"),
        ("{requests: 30, session: 30m, sticky: 1h}", "unknown key 'sticky'"),
        ("sticky", "is not a mapping"),
    ],
)
def test_users_that_cannot_be_meant_are_refused(text: str, what: str) -> None:
    """With the place, and what to write."""
    found = finding(written(text))
    assert what in f"{found.what} {found.where}"
    assert found.remedy
    assert found.where.startswith("checkout.yaml:")


def test_a_weight_does_not_tell_what_users_who_stick_have_served() -> None:
    """Events without a denominator need requests counted: a new weight reaches users only when their session ends."""
    router = "  router: memory\n"
    assert policy(COUNT + router).exposing is None
    found = finding(written("{requests: 30, session: 30m}", COUNT + router))
    assert "users who stick to a track do not follow the weight" in found.what
    assert "add a ratio or a histogram" in found.remedy


def test_a_guardrail_that_counts_users_says_so() -> None:
    """Then affinity is not for it; levels of pods count nobody."""
    rules = policy(written("{requests: 30, session: 30m}", ERRORS + "      units: users\n"))
    assert rules.users_of(rules.guardrails[0]) is None
    assert "counts no users" in finding(GAUGE + "      units: users\n").what
