"""Alerts as evidence: which rollout they touch, and what they do to it."""

from __future__ import annotations

from typing import Any

import pytest

from guardian.core import records as r
from guardian.core.effects import StartCanary
from guardian.core.facts import DeployEnd, DeployReported, Order
from guardian.core.model import Driver, EventRef, Instant, Mode, Phase, Seconds
from guardian.core.policy import Adapter, AlertRule, OnAlert
from tests.builders import T0, alert, ordered, policy, requested
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


def test_an_alert_that_fires_already_keeps_the_first_weight_back() -> None:
    """No user meets a release during an incident; its repeat is a duplicate, and resolved lets the rollout go on."""
    play = Play()
    play.tell(alert(starts_at=T0, severity="critical", track="canary"))
    play.tell(requested(at=play.now))
    play.until(700)
    assert (play.phase(), play.step(), play.weights) == (Phase.PREFLIGHT, -1, [])
    assert play.held()
    play.tell(alert(firing=False, starts_at=T0, severity="critical", track="canary"))
    assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])
    play.until(4000)
    assert play.phase() is Phase.VERIFIED


def test_an_alert_held_by_a_superseded_rollout_keeps_its_successor_back() -> None:
    """The alert is about the service, whoever is going out."""
    play = running()
    play.tell(alert(starts_at=LATER, severity="warning"))
    play.tell(requested("2.2.0", at=play.now))
    play.until(900)
    assert (play.rollout.revision, play.step()) == ("2.2.0", -1)
    assert play.held()
    assert play.weights == [0.1, 0.0]


def test_a_critical_alert_in_preflight_holds_at_most() -> None:
    """It began before the canary had traffic: the canary cannot be its cause, and nothing is rolled back."""
    rule = AlertRule(match={"alertname": "CheckoutErrors"}, on_firing=OnAlert.ROLLBACK)
    for rules in ((), (rule,)):
        play = Play(
            policies=(policy(alerts=rules, workload=Adapter(kind="memory")),), breaks={StartCanary: "no pods yet"}
        )
        play.tell(requested())
        play.until(10)
        play.tell(alert(starts_at=play.now, severity="critical", track="canary"))
        play.breaks = {}
        play.until(100)
        assert (play.phase(), play.weights) == (Phase.PREFLIGHT, [])
        assert "waits" in play.rollout.held.reason or "before the canary" in play.rollout.held.reason  # type: ignore[union-attr]
        play.tell(alert(firing=False, starts_at=Instant(T0 + 10.0), severity="critical", track="canary"))
        assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])


def test_the_first_weight_waits_for_the_last_of_several_alerts() -> None:
    """One that is over says nothing about the other; held and resumed are told once."""
    play = Play()
    for name in ("A", "B"):
        play.tell(alert(starts_at=Instant(T0 - ord(name)), alertname=name))
    play.tell(requested())
    play.tell(alert(firing=False, starts_at=Instant(T0 - ord("A")), alertname="A"))
    assert (play.phase(), play.weights) == (Phase.PREFLIGHT, [])
    play.tell(alert(firing=False, starts_at=Instant(T0 - ord("B")), alertname="B"))
    assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])
    assert play.events() == ["queued", "started", "held", "resumed", "advanced"]


def test_a_person_may_pass_over_an_alert_that_keeps_the_first_weight_back() -> None:
    """The step stays held by it, so that passing over it once gives the canary its first users and no more."""
    play = Play()
    play.tell(alert(starts_at=T0))
    play.tell(requested())
    play.tell(ordered(play.rollout.id, Order.PROMOTE, reason="known and harmless"))
    assert play.weights == [0.1]
    assert "known and harmless" in play.all(r.Advanced)[0].reason
    play.until(700)
    assert (play.step(), play.held()) == (0, True)


def test_an_alert_does_not_keep_the_guardian_from_watching_what_others_started() -> None:
    """Its users meet the canary already; what helps them is that it is judged."""
    play = Play(policies=(policy(mode=Mode.OBSERVE),))
    play.tell(alert(starts_at=T0))
    play.tell(requested(driver=Driver.OTHER))
    play.until(100)
    assert (play.phase(), play.held()) == (Phase.PROGRESSING, True)


def test_an_alert_resolved_while_paused_in_preflight_lets_it_go_on_when_resumed() -> None:
    """Each of both keeps the first weight back for as long as it lasts."""
    play = Play()
    play.tell(alert(starts_at=T0))
    play.tell(requested())
    play.tell(ordered(play.rollout.id, Order.PAUSE))
    play.tell(alert(firing=False, starts_at=T0))
    assert (play.phase(), play.weights, play.held()) == (Phase.PAUSED, [], False)
    play.tell(ordered(play.rollout.id, Order.RESUME))
    assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])


def test_an_alert_of_a_service_without_policy_is_not_remembered() -> None:
    """Memory is for what a rollout could need."""
    play = Play()
    play.tell(alert(starts_at=T0, service="payment"))
    assert play.engine.world.alerts == {}


HOUR = 3600.0


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
@pytest.mark.parametrize("theirs", [0.0, 1.0])
def test_an_alert_rolls_back_although_our_clock_is_not_its_senders(ahead: float, theirs: float) -> None:
    """After the wall clock was set ours goes on; the sender may follow the wall clock (1) or have gone on, too (0)."""
    play = running()
    play.engine.ahead = Seconds(ahead)
    play.tell(alert(starts_at=Instant(play.now - theirs * ahead), severity="critical", track="canary"))
    assert play.phase() is Phase.ROLLED_BACK


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
@pytest.mark.parametrize("theirs", [0.0, 1.0])
def test_a_deploy_counts_although_our_clock_is_not_its_senders(ahead: float, theirs: float) -> None:
    """The running one's event may have had no time, and got ours; what is sent now is not older than that."""
    play = running()
    play.engine.ahead = Seconds(ahead)
    first, sent = play.rollout.id, Instant(play.now - theirs * ahead)
    play.tell(requested("2.2.0", at=sent))
    assert play.engine.world.rollouts[first].phase is Phase.SUPERSEDED
    ended = DeployReported(
        event=EventRef(source="ci", id="c"), time=sent, place=play.rollout.place, end=DeployEnd.CANCELLED
    )
    play.tell(ended)
    assert play.phase() is Phase.ABORTED


def test_a_deploy_from_before_the_running_one_is_ignored_by_either_clock() -> None:
    """Half an hour is more than any skew, whichever clock it was told by."""
    play = running()
    play.engine.ahead = Seconds(HOUR)
    first = play.rollout.id
    play.tell(requested("2.0.9", at=Instant(T0 - HOUR - HOUR / 2)))
    assert (play.rollout.id, play.phase()) == (first, Phase.PROGRESSING)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_an_alert_from_before_the_canary_holds_at_most_by_either_clock(ahead: float) -> None:
    """By the sender's clock or by ours: it is older than the canary's traffic."""
    play = running()
    play.engine.ahead = Seconds(ahead)
    since = Instant(T0 - 60.0 - max(ahead, 0.0))
    play.tell(alert(starts_at=since, severity="critical", track="canary"))
    assert (play.phase(), play.held()) == (Phase.PROGRESSING, True)
