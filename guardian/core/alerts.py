"""An alert as evidence for the rollout it touches, or recorded as unrelated. Each alert by its own status."""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.draft import Draft
from guardian.core.facts import AlertSeen
from guardian.core.looks import Look
from guardian.core.model import Instant, Phase, Place, Seconds, Track
from guardian.core.outcomes import begin
from guardian.core.policy import AlertRule, OnAlert
from guardian.core.rollback import propose
from guardian.core.rollout import Rollout

TOUCHABLE = frozenset({Phase.PREFLIGHT, Phase.PROGRESSING, Phase.PAUSED, Phase.BAKING})
DEFAULT = AlertRule(match={}, on_firing=OnAlert.HOLD)
"""Without `alerts` in the policy: critical on the canary rolls back, any other match holds."""
_CLOCKS_DIFFER = 5.0
"""Seconds by which clocks that are kept right may still differ."""


def service_of(alert: AlertSeen, rule: AlertRule) -> str:
    """Return the service the alert names under this rule, "" when it names none."""
    return alert.labels.get(rule.service, "")


def touches(rollout: Rollout, alert: AlertSeen) -> AlertRule | None:
    """Return the first rule of the rollout's policy by which the alert is about this rollout."""
    for rule in rollout.policy.alerts or (DEFAULT,):
        if fits(rule, alert, rollout.place.service) and is_there(alert, rollout.place):
            return rule
    return None


def fits(rule: AlertRule, alert: AlertSeen, service: str) -> bool:
    """Whether the rule is about alerts of these labels, and the alert about this service."""
    labels_fit = all(alert.labels.get(name) == value for name, value in rule.match.items())
    return labels_fit and service_of(alert, rule) == service


def is_there(alert: AlertSeen, place: Place) -> bool:
    """Whether the alert names this environment and region; what it does not name, it does not exclude."""
    environment = alert.labels.get("environment", place.environment)
    region = alert.labels.get("region", place.region)
    return (environment, region) == (place.environment, place.region)


def dated(alert: AlertSeen, *, ahead: Seconds, now: Instant) -> AlertSeen:
    """Return the alert with its start by our time, which may be ahead of its sender's."""
    return replace(alert, starts_at=by_our_time(alert.starts_at, ahead=ahead, now=now)) if ahead else alert


def by_our_time(at: Instant, *, ahead: Seconds, now: Instant) -> Instant:
    """Return by our time, which may be ahead of other machines', when something was that is told now.

    Whether the sender's clock is one that we are ahead of is not known: the later of both readings that is not in the
    future counts, as most things are told soon after they were.
    """
    if not ahead:
        return at
    read = (at, Instant(at + ahead))
    past = [one for one in read if one <= now + _CLOCKS_DIFFER]
    return max(past) if past else min(read)


def weigh(rollout: Rollout, alert: AlertSeen, rule: AlertRule, look: Look | None, now: Instant) -> Draft:
    """Return what follows from an alert that touches the rollout. Resolved never undoes a rollback."""
    draft = Draft(rollout, now)
    weigh_into(draft, alert, rule, look)
    return draft


def weigh_into(draft: Draft, alert: AlertSeen, rule: AlertRule, look: Look | None) -> None:
    """Add what follows from an alert to a draft."""
    rollout = draft.rollout
    name = alert.labels.get("alertname", "alert")
    if not alert.firing:
        if rule.on_resolved == "resume" and key_of(alert) in rollout.alerts:
            _link(draft, alert, name, firing=False)
            _go_on(draft, name)
        else:
            draft.note(f"alert {name} is resolved; nothing waited for it")
        return
    action, why = _action(rollout, alert, rule, look)
    if action is OnAlert.IGNORE:
        draft.note(f"alert {name} is ignored by the policy")
    elif action is OnAlert.PAGE:
        draft.page(f"alert-{key_of(alert)}", f"alert {name} is firing{why}")
    else:
        _link(draft, alert, name, firing=True)
        if action is OnAlert.ROLLBACK:
            reason = f"alert {name} is firing for the canary of {rollout.place.service} {rollout.revision}."
            propose(draft, look, why=r.Why.ALERT, reason=reason)
        else:
            draft.hold(r.Hold.ALERT, f"alert {name} is firing{why}; it resumes when resolved")


def _action(rollout: Rollout, alert: AlertSeen, rule: AlertRule, look: Look | None) -> tuple[OnAlert, str]:
    action = rule.on_firing
    track = alert.labels.get(rule.track, "")
    if rule is DEFAULT and alert.labels.get("severity") == "critical":
        action = OnAlert.ROLLBACK
    if action is not OnAlert.ROLLBACK:
        return action, ""
    canary = (Track.CANARY.value, rollout.policy.labels.canary)
    if track not in canary:
        return OnAlert.HOLD, ", but it does not name the canary" if track else ", but it names no track"
    began = look.began if look is not None else None
    if began is None:
        began = rollout.canary_since if rollout.canary_since is not None else rollout.step_ordered
    if began is None or alert.starts_at < began:
        return OnAlert.HOLD, ", but it began before the canary had traffic"
    return action, ""


def key_of(alert: AlertSeen) -> str:
    """Return what firing and resolved of one alert share: fingerprint and start."""
    return alert.event.id.rsplit("/", 1)[0]


def _go_on(draft: Draft, name: str) -> None:
    """Let a rollout that has no weight yet go on when its last alert is over; later ones go on at their next look."""
    rollout = draft.rollout
    if rollout.step >= 0 or rollout.alerts:
        return
    if rollout.held is not None and rollout.held.hold is r.Hold.ALERT:
        draft.resume(f"alert {name} is resolved")
    begin(draft)


def _link(draft: Draft, alert: AlertSeen, name: str, *, firing: bool) -> None:
    linked = r.AlertLinked(rollout=draft.id, at=draft.now, alert=key_of(alert), name=name, firing=firing)
    draft.add(linked)
