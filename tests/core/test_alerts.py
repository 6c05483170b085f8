"""Alerts as evidence: which rollout they touch, and what they do to it."""

from __future__ import annotations

from typing import Any

from guardian.core import records as r
from guardian.core.model import Instant, Phase
from guardian.core.policy import AlertRule, OnAlert
from tests.builders import T0, alert, policy, requested
from tests.core.play import Play


def running(**changes: object) -> Play:
    """Return a story in which `checkout` has had its canary for 100 s."""
    play = Play(policies=(policy(**changes),))
    play.tell(requested())
    play.until(100)
    return play


LATER = Instant(T0 + 60.0)


def test_a_critical_alert_of_the_canary_rolls_back() -> None:
    """Without rules in the policy: critical, service and track = canary."""
    play = running()
    play.tell(alert(starts_at=LATER, severity="critical", track="canary"))
    assert play.phase() is Phase.ROLLED_BACK
    assert "CheckoutErrors" in play.all(r.Ended)[-1].reason


def test_any_other_match_holds_until_it_is_resolved() -> None:
    """Severity warning, no track, another track, or an alert from before the canary: hold at most."""
    cases: list[tuple[dict[str, Any], Instant]] = [
        ({"severity": "warning", "track": "canary"}, LATER),
        ({"severity": "critical"}, LATER),
        ({"severity": "critical", "track": "stable"}, LATER),
        ({"severity": "critical", "track": "canary"}, Instant(T0 - 60.0)),
    ]
    for labels, since in cases:
        play = running()
        play.tell(alert(starts_at=since, **labels))
        play.until(700)
        assert (play.phase(), play.step()) == (Phase.PROGRESSING, 0)
        play.tell(alert(firing=False, starts_at=since, **labels))
        play.until(4000)
        assert play.phase() is Phase.VERIFIED


def test_an_alert_of_another_service_or_environment_changes_nothing() -> None:
    """It is recorded as unrelated."""
    play = running()
    play.tell(alert(starts_at=LATER, severity="critical", track="canary", service="payment"))
    play.tell(alert(starts_at=LATER, severity="critical", track="canary", environment="staging"))
    assert not play.held()
    assert "touches no running rollout" in play.all(r.Noted)[-1].reason


def test_resolved_never_undoes_a_rollback() -> None:
    """An ended rollout stays ended."""
    play = running()
    play.tell(alert(starts_at=LATER, severity="critical", track="canary"))
    play.tell(alert(firing=False, starts_at=LATER, severity="critical", track="canary"))
    assert play.phase() is Phase.ROLLED_BACK


def test_a_policy_says_what_an_alert_does() -> None:
    """on_firing: page and ignore leave the plan alone."""
    for action, paged in ((OnAlert.PAGE, True), (OnAlert.IGNORE, False)):
        rule = AlertRule(match={"alertname": "CheckoutErrors"}, on_firing=action)
        play = running(alerts=(rule,))
        play.tell(alert(starts_at=LATER, track="canary"))
        play.until(500)
        assert play.step() == 1
        assert ("paged" in play.events()) is paged


def test_a_rule_that_does_not_match_leaves_the_alert_unrelated() -> None:
    """With rules in the policy the default does not apply."""
    rule = AlertRule(match={"alertname": "Other"}, on_firing=OnAlert.ROLLBACK)
    play = running(alerts=(rule,))
    play.tell(alert(starts_at=LATER, severity="critical", track="canary"))
    assert play.phase() is Phase.PROGRESSING


def test_an_alert_storm_rolls_back_once() -> None:
    """S18: the first decides; the rest finds nothing to do."""
    play = running()
    for number in range(400):
        play.tell(alert(starts_at=Instant(LATER + number % 12), severity="critical", track="canary"))
    assert play.events().count("rolled-back") == 1
    assert play.weights == [0.1, 0.0]


def test_an_alert_that_fires_already_holds_a_rollout_that_starts() -> None:
    """Its repeat is a duplicate and never comes again; resolved lets the rollout go on."""
    play = Play()
    play.tell(alert(starts_at=T0, severity="critical", track="canary"))
    play.tell(requested(at=play.now))
    play.until(700)
    assert (play.phase(), play.step()) == (Phase.PROGRESSING, 0)
    play.tell(alert(firing=False, starts_at=T0, severity="critical", track="canary"))
    play.until(4000)
    assert play.phase() is Phase.VERIFIED


def test_an_alert_held_by_a_superseded_rollout_holds_its_successor() -> None:
    """The alert is about the service, whoever is going out."""
    play = running()
    play.tell(alert(starts_at=LATER, severity="warning"))
    play.tell(requested("2.2.0", at=play.now))
    play.until(900)
    assert (play.rollout.revision, play.step()) == ("2.2.0", 0)
    assert play.held()


def test_an_alert_of_a_service_without_policy_is_not_remembered() -> None:
    """Memory is for what a rollout could need."""
    play = Play()
    play.tell(alert(starts_at=T0, service="payment"))
    assert play.engine.world.alerts == {}
