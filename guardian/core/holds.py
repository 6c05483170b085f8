"""Why a rollout must wait although nothing is proved against it. Absent data is neither good nor bad news."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guardian.core import records as r
from guardian.core.attribution import Around, excuse, put_off
from guardian.core.gates import critical, first_release, forbidden, harmful
from guardian.core.looks import Allocation, Breach, GuardrailLook, Look, Side
from guardian.core.model import Instant, Phase, Track, Value
from guardian.core.pods import alone, sentence
from guardian.core.policy import full
from guardian.core.rollout import Rollout
from guardian.core.sentences import broken, burning, duration, level, no_control, share, silence, without_end

SILENT_AFTER = 3.0
"""Looks without a row before a track counts as silent; one missed scrape is normal."""

ACCEPTED = "own-past-accepted"
"""Key of a person's word that the service may be worse than its own past."""

_TOLD = 5
"""Alerts named in a sentence."""


class Waiting(Value, frozen=True, kw_only=True):
    """A reason to hold. page: key under which a person is called, None while nobody needs to be.

    cause: the rollout that is probably to blame, "" where none is.
    """

    hold: r.Hold
    text: str
    guardrail: str = ""
    page: str | None = None
    cause: str = ""


def innocent(rollout: Rollout, look: Look | None, around: Around, now: Instant) -> Waiting | None:
    """Return why a rollback waits that evidence or objective ask for, or will: something else is probably to blame."""
    if look is None:
        return None
    one = excuse(rollout, look, around, now)
    if one is None:
        return _one_pod(rollout, look)
    text, page = put_off(rollout, one), f"attribution-{one.rollout}"
    name = look.worst if harmful(rollout, look) else critical(look, shared=False) or ""
    return Waiting(hold=r.Hold.ATTRIBUTION, text=text, guardrail=name, page=page, cause=one.rollout)


def _one_pod(rollout: Rollout, look: Look) -> Waiting | None:
    found = alone(rollout, look)
    if found is None or critical(look, shared=False) is not None:  # the users' pain does not ask for the reason
        return None
    guardrail, one = found
    text = sentence(rollout, guardrail, one)
    return Waiting(hold=r.Hold.ONE_POD, text=text, guardrail=guardrail.name, page=f"one-pod-{one.name}")


def pressing(
    rollout: Rollout, look: Look | None, now: Instant, *, others: Iterable[Waiting | None] = (), cause: str = ""
) -> Waiting | None:
    """Return the most pressing reason to hold, None when there is none.

    others: what was found elsewhere. cause: what probably breaks both tracks, "" where nothing is known.
    """
    found = [*_reasons(rollout, look, now, cause), *(one for one in others if one is not None)]
    order = list(r.Hold)
    return min(found, key=lambda waiting: order.index(waiting.hold), default=None)


def _reasons(rollout: Rollout, look: Look | None, now: Instant, cause: str) -> Iterator[Waiting]:
    sticks = rollout.waived != rollout.step or forbidden(rollout, look) is not None
    if rollout.held is not None and rollout.held.hold in _STICKY and sticks:
        yield Waiting(hold=rollout.held.hold, text=rollout.held.reason, guardrail=rollout.held.guardrail)
    if rollout.alerts:
        names = sorted(set(rollout.alerts.values()))
        told = ", ".join(names[:_TOLD]) + (f" and {len(names) - _TOLD} more" if len(names) > _TOLD else "")
        yield Waiting(hold=r.Hold.ALERT, text=f"alert {told} is firing; it resumes when resolved")
    if look is not None:
        yield from _objectives(rollout, look, cause)
        if look.allocation is Allocation.SKEWED and rollout.step_began is not None:
            yield _skewed(rollout, look)
        yield from _own_past(rollout, look)
    yield from _silences(rollout, look, now)
    if rollout.held is not None and rollout.held.hold is r.Hold.UNDECIDED:
        yield Waiting(hold=r.Hold.UNDECIDED, text=rollout.held.reason)


_STICKY = frozenset({r.Hold.IRREVERSIBLE, r.Hold.FIRST_RELEASE_FAILS})
"""Only a person ends these while their cause lasts; evidence against a release does not wear off by waiting."""


def _objectives(rollout: Rollout, look: Look, cause: str) -> Iterator[Waiting]:
    name = critical(look, shared=True)
    if name is not None:
        labels = ", ".join(rollout.policy.guardrail(name).strata)
        mix = f" (in its own mix of {labels}, or in the canary's)" if labels else ""
        text = f"critical objective '{name}' is broken on stable as well{mix}, or was before: not this rollout's doing"
        how = broken(rollout.policy.guardrail(name), look.of(name))
        text += "".join(f"; {more}" for more in (how, cause) if more)
        yield Waiting(hold=r.Hold.SHARED_INCIDENT, text=text, guardrail=name, page=f"shared-{name}")
    for at in look.guardrails:
        if at.breach is Breach.WARNING:
            text = f"warning objective of '{at.name}' is broken"
            if at.burn is not None and at.burn.breach is Breach.WARNING:
                text += f": {burning(at.burn)}"
            yield Waiting(hold=r.Hold.WARNING, text=text, guardrail=at.name)


def _own_past(rollout: Rollout, look: Look) -> Iterator[Waiting]:
    """A bake whose service is worse than it was before; time alone, which uncalibrates, does not end that."""
    if rollout.phase is not Phase.BAKING or ACCEPTED in rollout.paged:
        return
    for at in look.guardrails:
        key = f"own-past-{at.name}"
        if at.past is None or not at.past.stands or not (at.past.calibrated or key in rollout.paged):
            continue
        guardrail = rollout.policy.guardrail(at.name)
        text = (
            f"'{at.name}': {rollout.place.service} fails more than before {rollout.revision} had all traffic: "
            f"{level(guardrail, at.past.since)} since, {level(guardrail, at.past.before)} before. No stable track is "
            "left: this compares with the service's own past, and cannot tell the change from anything else that began "
            "with it. Nothing goes back by itself: roll back, or promote where it has another cause"
        )
        yield Waiting(hold=r.Hold.OWN_PAST, text=text, guardrail=at.name, page=key)


def _skewed(rollout: Rollout, look: Look) -> Waiting:
    seen = look.observed
    got = f"{share(seen.share)} of {seen.requests:,.0f} requests" if seen is not None else "another share"
    affinity = rollout.policy.affinity
    remedy = "check the router; where it keeps users on their track, say so in `spec.affinity`"
    if affinity is not None:
        remedy = f"users of {affinity.requests:g} requests each, who stay for {duration(affinity.session)}, do not "
        remedy += "explain it: check the router, and whether `spec.affinity` is as it says"
    text = (
        f"the canary serves {got} where {share(rollout.desired)} was accepted: canary and stable do not get the "
        f"same kind of traffic, so nothing is compared; {remedy}"
    )
    return Waiting(hold=r.Hold.ALLOCATION, text=text, page="allocation")


def _silences(rollout: Rollout, look: Look | None, now: Instant) -> Iterator[Waiting]:
    since = rollout.step_began if rollout.phase is not Phase.BAKING else rollout.promoted_at
    if since is None or not rollout.policy.guardrails or rollout.previews:
        return
    patience = SILENT_AFTER * rollout.policy.interval
    if look is None:
        if now - since > patience:
            yield _silent(rollout, "no metrics were seen at all", "", since, now)
        return
    compares = not full(rollout.desired) and rollout.phase is not Phase.BAKING and not first_release(rollout, look)
    compares = compares and rollout.policy.strategy.splits
    for at in look.guardrails:
        if at.open_ended and now - since > patience:
            yield _silent(rollout, without_end(at.name, at.open_ended), at.name, since, now)
            continue
        yield from _track(rollout, at, Track.CANARY, at.canary, since, now)
        if compares and at.participates:
            yield from _track(rollout, at, rollout.policy.baseline, at.baseline, since, now)


def _track(
    rollout: Rollout, at: GuardrailLook, track: Track, side: Side, since: Instant, now: Instant
) -> Iterator[Waiting]:
    patience = SILENT_AFTER * rollout.policy.interval
    last = max(since, side.last) if side.last is not None else since
    if now - last > patience:
        text = (
            f"'{at.name}' has no metrics of the {track} {silence(side.last, now)}; check its selector, the scrape "
            "and the pods (`guardian doctor`)"
        )
        if side.last is not None:
            text += (
                f". Metrics that always come so late need a longer `interval`: {SILENT_AFTER:g} of them are waited for"
            )
        if track is Track.CONTROL:
            text = f"{text}. {no_control(at.older)}"
        yield _silent(rollout, text, at.name, last, now)
        return
    seen = max(since, side.seen) if side.seen is not None else since
    if now - seen > rollout.policy.guardrail(at.name).page_after:
        text = f"'{at.name}': the {track} had no requests for {duration(now - seen)}; check the router's weight"
        yield _silent(rollout, text, at.name, seen, now)


def _silent(rollout: Rollout, text: str, guardrail: str, since: Instant, now: Instant) -> Waiting:
    after = (
        rollout.policy.guardrail(guardrail).page_after
        if guardrail
        else min(item.page_after for item in rollout.policy.guardrails)
    )
    page = f"no-data-{guardrail}" if now - since >= after else None
    return Waiting(hold=r.Hold.NO_DATA, text=text, guardrail=guardrail, page=page)
