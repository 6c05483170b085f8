"""A run at one moment, as lines of text: traffic, weights, evidence against its thresholds, what was decided and why.

It reads without colors. It follows nothing and prints nothing: watch.py does.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from guardian.cli.chart import LEAST, Scale, drawn
from guardian.core.course import TOGETHER, Against, Course
from guardian.core.model import Track
from guardian.core.sentences import duration, latency, share, weighed
from simulator.outcome import Seen
from simulator.trace import QUANTILE, WINDOW, Tracing

_NAME: Final = 16
_SIDE: Final = 10
_VALUE: Final = 20
_MOMENT: Final = 12
_SHORTEST: Final = 10
"""Characters of a bar, however narrow the terminal is."""
_TOLD: Final = 4
"""Lines that the newest decision may take."""
_FEWEST: Final = 7
"""Lines that decisions keep, however many guardrails there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What bars are drawn with."""

    full: str
    empty: str
    threshold: str


PLAIN: Final = Marks(full="#", empty=".", threshold="|")
DRAWN: Final = Marks(full="━", empty="·", threshold="┃")


def frame(tracing: Tracing, *, width: int, height: int, speed: str, marks: Marks = DRAWN) -> list[Text]:
    """Return at most `height` lines of at most `width` characters. speed: what is said of how fast it is played."""
    lines = [*_head(tracing, width, speed, marks), Text(), *_traffic(tracing, width, marks), Text()]
    room = height - len(lines) - _FEWEST
    lines += [*_evidence(tracing.course(), width, max(room, 2), marks), Text()]
    lines += _decisions(tracing, width, max(height - len(lines), 2))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def standing(tracing: Tracing) -> str:
    """Say in a line where the rollout stands."""
    rollout = tracing.rollout
    if rollout is None:
        return "no rollout yet"
    step = f", step {rollout.step + 1} of {len(rollout.steps)}" if rollout.step >= 0 else ""
    held = f", held: {rollout.held.hold}" if rollout.held is not None and not rollout.phase.terminal else ""
    return f"{rollout.revision} {rollout.phase}{step}, weight {share(weight(tracing))}{held}"


def weight(tracing: Tracing) -> float:
    """Return the canary's share of traffic as the router serves it now."""
    simulation = tracing.simulation
    return float(simulation.world.weight(simulation.environment.now))


def since(tracing: Tracing) -> str:
    """Say what time it is, and for how long the run may go on."""
    if tracing.simulation.world.shift is None:
        return f"{duration(tracing.now)} since the deploy event"
    return f"{duration(tracing.now)} since the traffic shift, of {duration(tracing.scenario.horizon)} at most"


def figures(tracing: Tracing) -> dict[Track, tuple[str, str, str]]:
    """Return requests, share of failures and latency of each track as scrapes show them now; "-" where they do not."""
    _, tracks = tracing.tracks(last=1)
    return {
        track: (_told(seen.rate[-1], "{:.3g}/s".format), _told(seen.errors[-1], share), _told(seen.slow[-1], latency))
        for track, seen in tracks.items()
        if track is not Track.CONTROL or tracing.scenario.spec.service.pods.control
    }


def weights_of_evidence(course: Course) -> Iterator[tuple[str, str, float, float]]:
    """Yield the newest evidence of each series: guardrail, what it speaks for, value, and what it is held to."""
    for series in drawn(course):
        back = series.against is Against.CANARY
        name = series.guardrail if series.guardrail != TOGETHER else "all together"
        needed = course.rollback if back else course.promotion
        yield name, "rollback" if back else "promotion", series.readings[-1].evidence, needed


def told(evidence: float) -> str:
    """Format evidence; what is too little to matter is not told to its last digit."""
    return weighed(evidence) if evidence >= LEAST else f"<{LEAST:g}"


def reason(seen: Seen) -> str:
    """Say what was done, by which guardrail, and why."""
    whose = f" ({' '.join(seen.of)})" if seen.of else ""
    names = f" {seen.guardrail}" if seen.guardrail and f"'{seen.guardrail}'" not in seen.reason else ""
    return f"{seen.event}{whose}{names}{': ' if seen.reason else ''}{seen.reason}"


def _told(value: float, how: Callable[[float], str]) -> str:
    return "-" if math.isnan(value) else how(value)


def _head(tracing: Tracing, width: int, speed: str, marks: Marks) -> Iterator[Text]:
    title = f"{tracing.scenario.name}, seed {tracing.simulation.seed}: {tracing.scenario.metadata.title}"
    room = width - len(speed) - 2
    title = title if len(title) <= room else f"{title[: room - 1]}…"
    yield Text.assemble((title, "bold"), " " * (width - len(title) - len(speed)), (speed, "dim"))
    part = 0.0 if tracing.simulation.world.shift is None else tracing.now / tracing.scenario.horizon
    clock = since(tracing)
    bar = width - len(clock) - 2
    yield Text.assemble(clock, "  ", (_bar(part, bar, marks), "dim")) if bar >= _SHORTEST else Text(clock)
    yield Text(standing(tracing))


def _traffic(tracing: Tracing, width: int, marks: Marks) -> Iterator[Text]:
    heads = ("requests", f"failed {WINDOW:g}s", f"p{100 * QUANTILE:g} {WINDOW:g}s", "weight")
    yield Text(f"{'':<{_NAME}}" + "".join(f"{one:>12}" for one in heads), style="bold")
    canary, seen = weight(tracing), figures(tracing)
    bar = width - _NAME - 12 * len(heads) - 2
    for track in sorted(seen, key=list(Track).index):
        served = {Track.CANARY: canary, Track.STABLE: 1.0 - canary}.get(track)  # control shares stable's
        line = Text(f"{track.value:<{_NAME}}" + "".join(f"{one:>12}" for one in seen[track]))
        if served is not None:
            line.append(f"{share(served):>12}")
            if bar >= _SHORTEST:
                line.append(f"  {_bar(served, bar, marks)}", style="dim")
        yield line


def _evidence(course: Course, width: int, room: int, marks: Marks) -> Iterator[Text]:
    """Yield a bar for each series; of more than there is room for those that are nearest to deciding."""
    scale = _scale(course, max(width - _NAME - _SIDE - _VALUE - 2, _SHORTEST))
    series = list(weights_of_evidence(course))
    yield Text.assemble((f"{'evidence for':<{_NAME + _SIDE + 1}}", "bold"), (_axis(scale), "dim"))
    if not series:
        yield Text("none yet: the canary has had no traffic that was measured", style="dim")
        return
    fit = len(series) if len(series) < room else room - 2
    near = sorted(series, key=lambda one: one[2] / one[3], reverse=True)[: max(fit, 0)]
    for name, side, value, needed in (one for one in series if one in near):
        short = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
        reached = ("bold red" if side == "rollback" else "bold green") if value >= needed else ""
        line = Text(f"{short:<{_NAME}} {side:<{_SIDE}}")
        line.append(_evidence_bar(value, needed, scale, marks), style=reached)
        line.append(f" {f'{told(value)} of {needed:,.0f}':>{_VALUE}}", style=reached)
        yield line
    if fit < len(series):
        yield Text(f"and {len(series) - len(near)} more, further from deciding", style="dim")


def _decisions(tracing: Tracing, width: int, room: int) -> Iterator[Text]:
    """Yield the last decisions, a line each; the newest one in full."""
    seen = tracing.simulation.seen
    yield Text("decisions", style="bold")
    if not seen:
        yield Text("none yet", style="dim")
        return
    *earlier, newest = seen
    indent = _MOMENT + 2
    said = textwrap.wrap(
        reason(newest), max(width - indent, _SHORTEST), max_lines=min(_TOLD, room - 1), placeholder=" …"
    )
    for one in earlier[-(room - 1 - len(said)) :] if room - 1 > len(said) else ():
        yield Text(f"{moment(tracing, one):>{_MOMENT}}  {reason(one)}")
    for number, line in enumerate(said):
        yield Text(f"{'' if number else moment(tracing, newest):>{_MOMENT}}  {line}", style="bold")


def moment(tracing: Tracing, seen: Seen) -> str:
    """Say when something was done: seconds after the traffic shift; until there is one, after the deploy event."""
    if tracing.simulation.world.shift is None:
        return f"deploy +{duration(seen.at)}"
    return f"{'-' if seen.at < 0 else ''}{duration(abs(seen.at))}"


def _scale(course: Course, columns: int) -> Scale:
    most = 10.0 ** math.ceil(math.log10(1.5 * max(course.rollback, course.promotion)) - 1e-9)
    return Scale(last=1.0, low=LEAST, high=most, columns=1, rows=columns)


def _place(evidence: float, scale: Scale) -> int:
    return scale.rows - 1 - scale.row(evidence)


def _axis(scale: Scale) -> str:
    """Return powers of ten above the bars, each beginning at its place: all of them, or as many as have room."""
    powers = range(round(math.log10(scale.low)), round(math.log10(scale.high)))
    apart = next(each for each in range(1, scale.rows) if each * _place(10.0 * scale.low, scale) > len("0.001"))
    line = ""
    for power in powers[::apart]:
        line = f"{line:<{_place(10.0**power, scale)}}{10.0**power:g}"
    return line


def _evidence_bar(value: float, needed: float, scale: Scale, marks: Marks) -> str:
    at, limit = _place(value, scale), _place(needed, scale)
    bar = [marks.full if place <= at and value > 0 else marks.empty for place in range(scale.rows)]
    bar[limit] = marks.threshold
    return "".join(bar)


def _bar(part: float, width: int, marks: Marks) -> str:
    full = round(min(max(part, 0.0), 1.0) * width)
    return marks.full * full + marks.empty * (width - full)
