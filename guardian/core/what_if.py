"""What would have changed the verdict, in sentences: tried (counterfactual.py) or forecast (supposing.py), and which.

Never promises more than was tried or assumed (STATISTICS section 6).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from guardian.core.counterfactual import Change, MarginChange, changes, margin_change
from guardian.core.looks import Look, evidence
from guardian.core.model import Instant, Phase, Verdict
from guardian.core.offline import OfflineVerdict
from guardian.core.policy import CountSli, GaugeSli, Policy, RatioSli
from guardian.core.records import Why
from guardian.core.replay import Recording
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration, share, weighed
from guardian.core.supposing import Supposition, Waiting, suppose, tallies, waits

FORECAST = "forecast for independent requests; pods that differ need more"


def of_rollout(rollout: Rollout, look: Look | None, now: Instant) -> tuple[str, ...]:
    """Return what would change, or would have changed, the verdict of a rollout; forecasts only."""
    return tuple(_of_rollout(rollout, look, now))


def _ordered(why: Why) -> str:
    return "because a person ordered it" if why is Why.PERSON else f"because of the {why}"


def _of_rollout(rollout: Rollout, look: Look | None, now: Instant) -> Iterator[str]:
    cause = rollout.cause
    if cause is not None and cause.why is not Why.GUARDRAIL:
        yield f"the comparison with stable did not decide: traffic went back {_ordered(cause.why)}"
        return
    for tally in tallies(rollout, look):
        yield from _supposed(suppose(rollout.policy, tally))
    yield from _not_reckoned(rollout, look)
    if cause is not None or look is None or rollout.phase is not Phase.PROGRESSING:
        return
    if look.weakest and not math.isnan(look.log_safe):
        wanted = 1.0 / rollout.policy.risk.false_promotion
        got = evidence(look.log_safe)
        state = "every guardrail has it" if got >= wanted else f"'{look.weakest}' bounds it"
        yield f"promotion needs evidence {wanted:.3g} of every guardrail; the smallest is {weighed(got)}: {state}"
    for waiting in waits(rollout, look, now):
        yield from _waited(waiting)


def _not_reckoned(rollout: Rollout, look: Look | None) -> Iterator[str]:
    """Say of which guardrails nothing can be forecast, and why."""
    note = rollout.cause.evidence if rollout.cause is not None else None
    for guardrail in rollout.policy.participating:
        named = note is not None and note.guardrail == guardrail.name
        if rollout.cause is None and look is not None:
            named = any(one.name == guardrail.name and one.participates for one in look.guardrails)
        if named and isinstance(guardrail.sli, GaugeSli):
            yield (
                f"'{guardrail.name}': what would change its evidence cannot be forecast: it rests on how much pods "
                "differ, not on a number of requests"
            )
        if named and isinstance(guardrail.sli, CountSli):
            yield f"'{guardrail.name}': how many events more or fewer would change its evidence is not reckoned"


def _supposed(found: Supposition) -> Iterator[str]:
    yield f"'{found.tally.guardrail}': {_requests(found)} ({FORECAST})"
    if found.margin is not None:
        end = "the evidence is not enough to roll it back" if found.rolled else "it would have been rolled back"
        yield f"'{found.tally.guardrail}': with a rollback margin of about x{found.margin:.3g} {end} ({FORECAST})"


def _requests(found: Supposition) -> str:
    tally = found.tally
    if found.requests is None:
        end = "leaves the evidence below the threshold" if found.rolled else "is evidence enough to roll it back"
        return f"no number of bad requests among the {tally.requests:,.0f} of the canary {end}"
    seen = f"{tally.bad:,.0f} of {tally.requests:,.0f} ({share(tally.bad / tally.requests)})"
    all_in_all = share((tally.bad + found.requests) / tally.requests)
    if found.rolled:
        rest = f"{all_in_all} in all, and the evidence would not have been enough to roll it back"
        return f"about {_bad(-found.requests)} fewer than {seen}, {rest}"
    return f"about {_bad(found.requests)} more than {seen}, {all_in_all} in all, would have rolled it back"


def _bad(number: int) -> str:
    return f"{number:,} bad canary request{'s' if number != 1 else ''}"


def _waited(waiting: Waiting) -> Iterator[str]:
    pace = "at its traffic so far"
    if waiting.sample > 0:
        yield f"'{waiting.guardrail}' has the requests this step asks for in about {duration(waiting.sample)} {pace}"
    if waiting.promotion is None or waiting.promotion <= 0:
        return
    if math.isinf(waiting.promotion):
        yield f"'{waiting.guardrail}': at this traffic promotion evidence never comes, however healthy the canary is"
        return
    about = f"in about {duration(waiting.promotion)} {pace}"
    yield f"'{waiting.guardrail}' has the promotion evidence {about}, if the canary is like stable ({FORECAST})"


def of_recording(recording: Recording, policy: Policy, verdict: OfflineVerdict) -> tuple[str, ...]:
    """Return what would have changed the verdict on recorded samples, each number tried on them."""
    return tuple(_of_recording(recording, policy, verdict))


def _of_recording(recording: Recording, policy: Policy, verdict: OfflineVerdict) -> Iterator[str]:
    if verdict.metric == "":
        yield "no guardrail takes part: only samples of stable before the canary's first traffic would change that"
        return
    found = changes(recording, policy, verdict)
    for change in found:
        yield _changed(change)
    if not found and any(isinstance(one.sli, RatioSli) for one in policy.participating):
        yield "no number of bad canary requests, spread evenly, changes the verdict"
    named = policy.guardrail(verdict.metric)
    if not isinstance(named.sli, RatioSli):
        yield f"'{named.name}' counts no bad requests: how many of them would change it has no answer"
    yield _margin(verdict, margin_change(recording, policy, verdict))


def _changed(change: Change) -> str:
    number, word = abs(change.requests), "fewer" if change.requests < 0 else "more"
    after = change.bad + change.requests
    return (
        f"'{change.guardrail}': {_bad(number)} {word}, spread evenly ({after:,} of {change.of:,}, "
        f"{share(after / change.of)}, instead of {change.bad:,}, {share(change.bad / change.of)}), and the verdict "
        f"after {duration(change.until)} is {change.after} instead of {change.before}; one fewer is not enough (tried)"
    )


def _margin(verdict: OfflineVerdict, found: MarginChange | None) -> str:
    if found is not None:
        return (
            f"'{found.guardrail}': with a rollback margin of x{found.margin:g} instead of x{found.policy:g} the "
            f"verdict after {duration(verdict.decided_at)} is {found.after} instead of {found.before} "
            "(tried in steps of 0.01)"
        )
    if verdict.verdict is Verdict.ROLLBACK:
        return f"'{verdict.metric}': no wider rollback margin was found at which it is not rolled back"
    return f"'{verdict.metric}': no rollback margin down to x1 rolls it back"
