"""What `guardian plan` prints: the steps, what is seen with the pods there are, and the sentences below."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from guardian.cli.output import Table
from guardian.config.units import format_duration, format_share
from guardian.core.foresight import TAIL, WORSE, Sight, StepForesight, Traffic
from guardian.core.model import Track
from guardian.core.policy import GaugeSli, Guardrail, HistogramSli, Policy
from guardian.core.rehearsed import pods_at


def tables(policy: Policy, traffic: Traffic, steps: tuple[StepForesight, ...], notes: list[str]) -> list[Table]:
    """Return the tables for people; the second one only where pods are known."""
    rows = [row for number, step in enumerate(steps, start=1) for row in _rows(number, step)]
    seen = [f"sees x{worse:g}" for worse in WORSE]
    columns = ("step", "weight", "bake", "limit", "lasts", "guardrail", "sample", *seen, "promote")
    styles = {"weight": "bold", "guardrail": "cyan"}
    found = [Table(columns=columns, rows=rows, styles=styles, notes=notes)]
    limits = [row for number, step in enumerate(steps, start=1) for row in _limits(policy, traffic, number, step)]
    if limits:
        columns = ("step", "limit", "canary pods", "stable pods", "guardrail", "smallest change seen")
        found = [replace(found[0], notes=()), Table(columns=columns, rows=limits, styles=styles, notes=notes)]
    return found


def _rows(number: int, step: StepForesight) -> Iterator[tuple[str, ...]]:
    lasts = f"{_time(step.lasts)}{' !' if step.late else ''}"
    head: tuple[str, ...] = (str(number), format_share(step.weight), _time(step.bake), _time(step.limit), lasts)
    if not step.sights:
        yield (*head, *[""] * (len(WORSE) + 3))
    for sight in step.sights:
        yield (*head, sight.guardrail, _time(sight.sample), *map(_time, sight.worse), _time(sight.promote))
        head = ("",) * len(head)
        for what, times in (("too few", sight.fewer), ("an hour", sight.growing)):
            if times:
                yield (*head, f"  {what}", "", *map(_time, times), "")


def _limits(policy: Policy, traffic: Traffic, number: int, step: StepForesight) -> Iterator[tuple[str, ...]]:
    canary, stable = pods_at(policy, traffic, step.weight)
    head: tuple[str, ...] = (str(number), _time(step.limit), str(canary), str(stable))
    for sight in step.sights:
        if sight.smallest is not None:
            yield (*head, sight.guardrail, _smallest(sight))
            head = ("",) * len(head)


def _smallest(sight: Sight) -> str:
    many = "none" if sight.smallest is None or math.isinf(sight.smallest) else f"x{_above(sight.smallest)}"
    if sight.fewest is None:
        return many
    return f"{many}; too few: {f'x{sight.fewest:.2g}' if sight.fewest > 0 else 'none'}"


def _above(times: float) -> str:
    """Return a multiple above 1 with two digits of what it is more than 1.

    >>> _above(1.0853), _above(1.234), _above(3.21)
    ('1.085', '1.23', '3.2')
    """
    return f"{1.0 + float(f'{times - 1.0:.2g}'):.6g}"


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "not known"
    if not math.isfinite(seconds):
        return "never"
    return format_duration(math.ceil(seconds) if seconds < 600 else math.ceil(seconds / 60) * 60)


def _lasting(seconds: float) -> str:
    return f"lasts {_time(seconds)}" if math.isfinite(seconds) else "never ends"


def notes_of(policy: Policy, steps: tuple[StepForesight, ...], traffic: Traffic, origin: str) -> Iterator[str]:
    """Yield the sentences: what the figures rest on, then warnings with a remedy each."""
    total, spent = sum(step.lasts for step in steps), 0.0
    unknown = {sight.guardrail: None for step in steps for sight in step.sights if math.isnan(sight.promote)}
    takes = f"takes {_time(total)}" if not math.isinf(total) else "does not get through, see the warnings"
    yield f"A healthy rollout {takes}{' or more' if unknown and not math.isinf(total) else ''}. Traffic: {origin}."
    yield "sample, sees, promote: time until the sample is there, a release so much worse is seen, a good one is shown."
    yield from _basis(steps)
    yield from _compared(policy)
    for number, step in enumerate(steps, start=1):
        if step.extends:
            yield f"Step {number} is the last that compares: it extends itself until the promote verdict."
        if step.late:
            yield (
                f"warning: step {number} {_lasting(step.lasts)}, over its limit of {_time(step.limit)}: "
                f"a person would be paged; {_remedy(policy, step, spent)} or raise the limit"
            )
        spent += step.lasts
    for name in unknown:
        yield f"'{name}': {_why_unknown(policy.guardrail(name))}"
    for guardrail in policy.participating:
        if not traffic.requests.get(guardrail.name) and not isinstance(guardrail.sli, GaugeSli):
            if guardrail.name not in unknown:
                yield f"warning: guardrail '{guardrail.name}' has no traffic: no step would ever pass"
        else:
            yield from _blind(policy, guardrail, traffic, steps)
    if any(pods_at(policy, traffic, step.weight)[0] == 1 for step in steps if step.sights):
        yield "With one canary pod, a pod that is lastingly different cannot be told from the release."


def _compared(policy: Policy) -> Iterator[str]:
    """Yield what the canary is held against, where that is not stable."""
    if not policy.strategy.splits:
        yield (
            "No step has users on both tracks: nothing is compared before the switch, and after it objectives decide, "
            "and the service's own past."
        )
    elif policy.baseline is Track.CONTROL:
        yield "Compared with a control track: as many pods as the canary's, each as busy; stable's are its past only."


def _basis(steps: tuple[StepForesight, ...]) -> Iterator[str]:
    """Say what the times rest on."""
    sights = [sight for step in steps for sight in step.sights]
    if not sights or any(sight.smallest is None for sight in sights):
        yield "Times hold for independent requests and equal pods; pods that differ need more (--pods)."
    if any(sight.smallest is not None for sight in sights):
        yield (
            "Rehearsed with these pods: when 80 % of rollouts had seen it, and the smallest change 80 % see within "
            "the step's limit. Noise that comes and goes needs more."
        )
    if any(sight.growing for sight in sights):
        yield "an hour: a level that grows to so many times stable's within an hour."


def _blind(policy: Policy, guardrail: Guardrail, traffic: Traffic, steps: tuple[StepForesight, ...]) -> Iterator[str]:
    """Warn of what a guardrail cannot see within the limit of any step, or of the step at which it can see most."""
    seen = [(step, sight) for step in steps for sight in step.sights if sight.guardrail == guardrail.name]
    for what, times in (
        (f"x{WORSE[-1]:g}", [sight.worse[-1] for _, sight in seen]),
        ("half as many events", [sight.fewer[-1] for _, sight in seen if sight.fewer]),
        (f"a tail ({format_share(TAIL[0])} of requests {TAIL[1]:g} times slower)", _tails(seen)),
    ):
        late = [at for at, time in enumerate(times) if time > seen[at][0].limit]
        if late:
            numbers = [1 + next(n for n, step in enumerate(steps) if step is seen[at][0]) for at in late]
            quickest = min(times[at] for at in late)
            told = f"it needs {_time(quickest)}" if math.isfinite(quickest) else "nor later"
            pods = pods_at(policy, traffic, seen[late[0]][0].weight)
            yield (
                f"warning: '{guardrail.name}' does not see {what} within the limit of {_steps(numbers)} ({told}); "
                + ("more canary pods, a longer limit or a rule of its own help" if pods[0] else "more traffic helps")
            )


def _tails(seen: list[tuple[StepForesight, Sight]]) -> list[float]:
    return [sight.tail for _, sight in seen if sight.tail is not None]


def _steps(numbers: list[int]) -> str:
    return f"step{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _why_unknown(guardrail: Guardrail) -> str:
    """Say why no time can be told for a guardrail."""
    if isinstance(guardrail.sli, GaugeSli):
        return "how soon a level tells depends on how much pods differ, which no traffic says: give --pods"
    return "how many events a request makes is not known; name an environment with metrics instead of --rps"


def _remedy(policy: Policy, step: StepForesight, spent: float) -> str:
    """Say what would shorten the step: `spent` seconds of the rollout are over when it begins."""
    if step.extends and math.isclose(step.lasts, policy.risk.earliest_promotion - spent):
        return "lower risk.earliest_promotion"
    known = [sight for sight in step.sights if not math.isnan(sight.promote)] or list(step.sights)
    margin, sample = "the promote margin", max(known, key=lambda sight: sight.sample)
    if not math.isclose(sample.sample, step.lasts):
        slowest = max(known, key=lambda sight: sight.promote)
        if isinstance(policy.guardrail(slowest.guardrail).sli, HistogramSli):
            margin = "the promote and tail margins"  # whichever is the slower of the two
    elif policy.guardrail(sample.guardrail).min_requests is not None:
        return f"lower min_requests of '{sample.guardrail}', send more traffic"
    else:
        slowest = sample
    return f"widen {margin} of '{slowest.guardrail}', send more traffic"


def document(policy: Policy, traffic: Traffic, steps: tuple[StepForesight, ...], notes: list[str]) -> dict[str, object]:
    """Return everything for JSON, which knows no infinity: never, and what is not known, is null."""
    found = [_step(step, pods_at(policy, traffic, step.weight)) for step in steps]
    return {"policy": policy.name, "traffic": _traffic(traffic), "steps": found, "notes": notes}


def _traffic(traffic: Traffic) -> dict[str, object]:
    told = {"requests_per_second": traffic.requests, "error_share": traffic.errors, "pods": traffic.pods}
    known = traffic.pods or traffic.stable_pods
    more = {
        "events_per_request": traffic.events, "stable_pods": traffic.stable_pods,
        "pods_differ": traffic.differ if known else {}, "noise": traffic.noise if known else {},
    }  # fmt: skip
    return told | {name: value for name, value in more.items() if value}


def _step(step: StepForesight, pods: tuple[int, int]) -> dict[str, object]:
    found: dict[str, object] = {
        "weight": step.weight,
        "bake": step.bake,
        "limit": step.limit,
        "lasts": _null(step.lasts),
        "late": step.late,
        "extends": step.extends,
        "guardrails": [_seen(sight) for sight in step.sights],
    }
    return found | ({"pods": dict(zip(("canary", "stable"), pods, strict=True))} if pods[0] and step.sights else {})


def _seen(sight: Sight) -> dict[str, object]:
    found: dict[str, object] = {"name": sight.guardrail, "sample": _null(sight.sample), **_each(sight.worse)}
    found["promote"] = _null(sight.promote)
    if sight.fewer:
        found["fewer"] = {f"x{1.0 / size:.2g}": _null(at) for size, at in zip(WORSE, sight.fewer, strict=True)}
    if sight.growing:
        found["growing"] = _each(sight.growing)
    if sight.tail is not None:
        found["tail"] = _null(sight.tail)
    if sight.smallest is not None:
        found["smallest"] = sight.smallest if math.isfinite(sight.smallest) else None
    if sight.fewest is not None:
        found["fewest"] = sight.fewest or None
    return found


def _each(times: tuple[float, ...]) -> dict[str, object]:
    return {f"x{size:g}": _null(at) for size, at in zip(WORSE, times, strict=True)}


def _null(seconds: float) -> float | None:
    return round(seconds, 1) if math.isfinite(seconds) else None
