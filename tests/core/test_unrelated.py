"""Alerts that touch no running rollout: each says why, in the journal and to its sender."""

from __future__ import annotations

from typing import Any

import pytest

from guardian.core import records as r
from guardian.core.effects import SetWeight
from guardian.core.model import Instant, Phase
from guardian.core.policy import AlertRule, OnAlert
from tests.builders import T0, alert, policy, requested
from tests.core.play import Play

RULE = AlertRule(match={"severity": "critical"}, on_firing=OnAlert.ROLLBACK)
PREFIX = "alert CheckoutErrors (firing) touches no running rollout: "


def told(play: Play, **labels: Any) -> str:
    """Return why an alert with these labels touches nothing."""
    play.tell(alert(starts_at=Instant(T0 + 60.0), **labels))
    noted: r.Noted = play.all(r.Noted)[-1]
    assert noted.rollout is None
    return noted.reason.removeprefix(PREFIX)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"service": ""}, "it names no service; give it the label 'service', or name another one in"),
        ({"service": "chekout"}, "no policy is for service 'chekout'; did you mean 'checkout'?"),
        ({"service": "lunch"}, "no policy is for service 'lunch'"),
        ({"severity": "warning"}, "no rule of policy checkout matches severity=warning, service=checkout"),
        ({}, "no rule of policy checkout matches no severity, service=checkout"),
        ({"severity": "critical"}, "no rollout of 'checkout' is open"),
        ({"severity": "critical", "environment": "production"}, "no rollout of 'checkout' is open in 'production'"),
        (
            {"severity": "critical", "environment": "prod"},
            "no policy of 'checkout' is for environment 'prod', only for 'production'",
        ),
    ],
)
def test_an_alert_that_touches_nothing_says_why(labels: dict[str, str], why: str) -> None:
    """A rule that never fits looks like a quiet night until somebody needs it."""
    assert told(Play(policies=(policy(alerts=(RULE,)),)), **labels).startswith(why)


def test_a_running_rollout_is_asked_by_the_policy_it_has() -> None:
    """Policies loaded meanwhile are for later rollouts, and say nothing about this one."""
    play = Play(policies=(policy(alerts=(RULE,)),))
    play.tell(requested())
    assert told(play, severity="warning") == "no rule of policy checkout matches severity=warning, service=checkout"
    elsewhere = told(play, severity="critical", environment="production", region="eu")
    assert elsewhere == "no rollout of 'checkout' is open in 'production/eu'"


def test_a_rollout_that_goes_back_already_is_named() -> None:
    """Nothing more can follow, and the sender learns that it is under way."""
    play = Play(policies=(policy(alerts=(RULE,)),))
    play.tell(requested())
    play.until(100)
    play.breaks = {SetWeight: "the proxy is away"}
    play.tell(alert(starts_at=Instant(T0 + 60.0), severity="critical", track="canary"))
    assert play.phase() is Phase.ROLLING_BACK
    assert told(play, severity="critical") == f"{play.rollout.id} is in phase rolling-back"
