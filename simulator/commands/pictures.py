"""One run as a picture: traffic, failures, latency, weights, evidence and decisions, over the same time.

SVG and PNG are the picture; HTML is one file with the picture and what was decided when, in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from guardian.cli.pictures import check_picture, draw_course, picture, time_unit, write_file
from guardian.config.units import format_duration, format_share
from guardian.core.model import Track
from simulator.outcome import Outcome, Seen
from simulator.trace import QUANTILE, WINDOW, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS: Final = (".svg", ".png", ".html")
SIZE: Final = (9.0, 11.0)
_LINES: Final = {Track.STABLE: ("0.55", "-"), Track.CANARY: ("black", "-")}
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td:first-child { white-space: nowrap; }
"""


def check(path: Path) -> None:
    """Raise ConfigError where no picture could be written to this path."""
    check_picture(path, KINDS)


def write(trace: Trace, path: Path) -> None:
    """Draw a run into a file, by its ending, whole or not at all. Raises ConfigError where it cannot be written."""
    kind = path.suffix.lower()
    if kind == ".html":
        drawn = picture(lambda figure: _draw(figure, trace, headed=False), ".svg", size=SIZE)
        write_file(path, page(trace, drawn.decode()).encode())
    else:
        write_file(path, picture(lambda figure: _draw(figure, trace), kind, size=SIZE))


def title(outcome: Outcome) -> str:
    """Return what came out, in a line."""
    run = outcome.run
    right = "right in time" if outcome.ok else "wrong" if outcome.wrong else "late"
    return (
        f"{run.scenario}, seed {run.seed}: {run.verdict} after {format_duration(round(run.decided_at))}; "
        f"expected {outcome.expected}: {right}; {run.harm.bad:,} of {run.harm.total:,} requests failed"
    )


def page(trace: Trace, drawn: str) -> str:
    """Return a self-contained page. drawn: the picture as SVG."""
    spec = trace.scenario.spec
    svg = drawn[drawn.index("<svg") :]
    told = _told(trace.outcome.run.seen)
    rows = "\n".join(_row(one, earlier) for one, earlier in zip(told, [None, *told], strict=False))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(trace.course.rollout)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(trace.scenario.metadata.title)}</h1>\n<p>{escape(spec.story.strip())}</p>\n"
        f"<p><strong>{escape(title(trace.outcome))}.</strong></p>\n{svg}\n"
        "<table>\n<tr><th>after</th><th>what</th><th>guardrail</th><th>why</th></tr>\n"
        f"{rows}\n</table>\n</body>\n</html>\n"
    )


def _told(seen: Sequence[Seen]) -> list[Seen]:
    return [one for one in seen if one.at >= 0]


def _row(one: Seen, earlier: Seen | None) -> str:
    """Return a line of the table; a reason that stands in the line above is not said again."""
    again = earlier is not None and bool(one.reason) and one.reason == earlier.reason
    cells = (format_duration(round(one.at)), one.event, one.guardrail, "as above" if again else one.reason)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _draw(figure: Figure, trace: Trace, *, headed: bool = True) -> None:
    """Draw it. headed: with what came out above it, where no text around it says so."""
    if headed:
        figure.suptitle(title(trace.outcome), fontsize=9.0)
    panels: np.ndarray = figure.subplots(4, 1, sharex=True, height_ratios=(1.0, 1.0, 1.0, 1.6))
    traffic, failures, latency, evidence = panels
    end = _end(trace)
    unit, name = time_unit(end)
    draw_course(evidence, trace.course, until=end)
    _tracks(traffic, trace, "rate", unit=unit, end=end)
    traffic.set_ylabel("requests/s")
    _weights(traffic, trace, unit, end)
    _tracks(failures, trace, "errors", unit=unit, end=end, scale=100.0)
    failures.set_ylabel(f"failed, %, over {WINDOW:g} s")
    _tracks(latency, trace, "slow", unit=unit, end=end, scale=1000.0)
    latency.set_ylabel(f"p{100 * QUANTILE:g}, ms")
    onset = trace.scenario.spec.truth.onset
    for axes in panels:
        axes.axvline(0.0, color="0.8", linewidth=0.7)
        for mark in trace.course.marks:
            axes.axvline(mark.at / unit, color="0.6", linewidth=0.7, linestyle=":")
        if trace.scenario.spec.truth.within is not None:
            deadline = min(onset + trace.scenario.spec.truth.within, 1.01 * end)
            axes.axvspan(onset / unit, deadline / unit, color="0.93", zorder=0)
    evidence.set_xlim(-max(WINDOW, 0.2 * end) / unit, 1.01 * end / unit)
    evidence.set_xlabel(
        f"{name} since {trace.course.zero}; grey: from the onset to the deadline; evidence by the time of its samples"
    )
    failures.legend(loc="upper left", frameon=False)


def _end(trace: Trace) -> float:
    """Return where the axis of time ends: some time after the verdict, or with the run."""
    last = max([trace.outcome.run.decided_at, *(mark.at for mark in trace.course.marks)])
    return min(1.25 * last + WINDOW, float(trace.time[-1]))


def _tracks(axes: Axes, trace: Trace, what: str, *, unit: float, end: float, scale: float = 1.0) -> None:
    for track, (color, line) in _LINES.items():
        values = getattr(trace.tracks[track], what)
        shown = trace.time <= end
        axes.plot(
            trace.time[shown] / unit, scale * values[shown], color=color, linestyle=line, linewidth=1.3,
            label=track.value, gid=f"{what}-{track.value}",
        )  # fmt: skip
    axes.set_ylim(bottom=0.0)


def _weights(axes: Axes, trace: Trace, unit: float, end: float) -> None:
    """Draw the canary's weight on an axis of its own, and write it where it changes."""
    other = axes.twinx()
    times, weights = zip(*trace.weights, (2.0 * end, trace.weights[-1][1]), strict=True)
    other.step(
        [at / unit for at in times], [100.0 * one for one in weights], where="post", color="black", linestyle="--",
        linewidth=1.0, gid="weight",
    )  # fmt: skip
    other.set_ylim(0.0, 105.0)
    other.set_ylabel("canary's weight, % (dashed)")
    for at, weight in trace.weights:
        if 0 <= at <= end:
            other.annotate(
                format_share(weight),
                (at / unit, 100.0 * weight),
                xytext=(2, 2),
                textcoords="offset points",
                fontsize=7.5,
            )
