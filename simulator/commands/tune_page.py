"""What `guardian tune` found as one self-contained page: the answer, pictures, tables, the patch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from guardian.cli.pictures import picture
from simulator.commands.tuned import (
    COLUMNS,
    CONFIRMED,
    TAPE_COLUMNS,
    TAPE_NOTE,
    answer,
    confirmation_rows,
    front_rows,
    moved_rows,
    not_looked_at,
    patch_of,
    tape_rows,
    told,
    value_of,
)
from simulator.tuning.objectives import OBJECTIVES, score, wrong_more
from simulator.tuning.study import Tuning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
tr.recommended td { font-weight: 600; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
.note { color: #555; font-size: 13px; }
"""
_SMOOTH: Final = ("delay", "hurt", "promotion")
"""Objectives that are no counts, which would fall on a few points."""
_BOLD: Final = ' class="recommended"'
_LINE: Final = 0.17
"""Height of one bar in inches."""


def page(found: Tuning) -> str:
    """Return a page that needs no other file."""
    change = patch_of(found)
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>Tuning {escape(found.space.file)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>Tuning {escape(found.space.file)}</h1>\n<p><strong>{escape(answer(found))}</strong></p>",
            f"<pre>{escape(change)}</pre>" if change else "",
            *_confirmation(found),
            "<h2>What was tried</h2>",
            _drawn(lambda figure: _front(figure, found), (9.0, 4.2)),
            _table(COLUMNS, [cells for _, cells in front_rows(found)], bold="recommended"),
            _note(f"{one.name}: {one.meaning}." for one in OBJECTIVES),
            _note(["score: geometric mean of the six, 1 = the policy that came in. Smaller is better everywhere."]),
            *_tapes(found),
            *_sensitivity(found),
            "<h2>What was not looked at</h2>\n<ul>",
            *(f"<li>{escape(one)}</li>" for one in not_looked_at(found)),
            "</ul>\n</body>\n</html>\n",
        )
    )


def _confirmation(found: Tuning) -> list[str]:
    if found.confirmation is None:
        return []
    many = len(found.confirmation.seeds)
    return [
        f"<h2>On {many} fresh seeds of each scenario</h2>",
        f"<p>The policy that came in against: {escape(told(found.space.changes(found.candidate)))}</p>",
        _table(CONFIRMED, confirmation_rows(found.confirmation)),
        _note(["The search never saw these seeds: the best of many looks better than it is on those that chose it."]),
    ]


def _tapes(found: Tuning) -> list[str]:
    if not found.tapes:
        return []
    return [
        "<h2>On recorded rollouts</h2>",
        f"<p>Best of the search: {escape(told(found.space.changes(found.candidate)))}</p>",
        _table(TAPE_COLUMNS, tape_rows(found)),
        _note([TAPE_NOTE]),
    ]


def _sensitivity(found: Tuning) -> list[str]:
    tried = [one for one in found.moved if one.figures is not None]
    if not tried:
        return []
    height = 1.0 + _LINE * len(tried) * 1.4
    return [
        "<h2>What each knob does</h2>",
        "<p>The recommended policy with one value elsewhere, on the seeds of the search.</p>",
        _drawn(lambda figure: _bars(figure.subplots(), found), (9.0, height)),
        _table(("place", "value", *(one.name for one in OBJECTIVES), "score"), moved_rows(found)),
    ]


def _drawn(draw: Callable[[Figure], None], size: tuple[float, float]) -> str:
    svg = picture(draw, ".svg", size=size).decode()
    return svg[svg.index("<svg") :]


def _front(figure: Figure, found: Tuning) -> None:
    """Draw all that was tried, by the two objectives that differ most, and by score in the order it was tried."""
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
    _points(left, found)
    lawful = [not wrong_more(each, found.base) for each in found.tried.values()]
    scores = np.array([score(each, found.base) for each in found.tried.values()])
    numbers = np.arange(len(scores))
    right.plot(numbers, scores, "o", color="0.55", markerfacecolor="white", markersize=4, label="more wrong verdicts")
    right.plot(numbers[lawful], scores[lawful], "o", color="0.55", markersize=4, label="tried")
    best = np.minimum.accumulate(np.where(lawful, scores, np.inf))
    right.step(numbers, best, where="post", color="black", linewidth=1.2, label="best so far")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set_xlabel("policies in the order they were tried")
    right.set_ylabel("score, 1 = the policy that came in")
    right.legend(loc="best", frameon=False, fontsize=8)


def _points(axes: Axes, found: Tuning) -> None:
    """Draw each policy as a point, the front as rings, the policy that came in and the recommended one by name."""
    table = np.array([[np.nan if value is None else value for value in each] for each in found.tried.values()])
    spread = np.nan_to_num(np.ptp(table, axis=0))
    smooth = [number for number, one in enumerate(OBJECTIVES) if one.name in _SMOOTH]
    across, up = sorted(sorted(smooth, key=lambda number: spread[number])[-2:])
    choices = list(found.tried)
    fronted = [choices.index(choice) for choice in found.front]
    axes.plot(table[:, across], table[:, up], "o", color="0.6", markersize=4, label="tried")
    axes.plot(
        table[fronted, across], table[fronted, up], "o", color="black", markerfacecolor="none", markersize=11,
        label="nobody beats it",
    )  # fmt: skip
    for choice, mark, name in ((found.space.base, "s", "came in"), (found.candidate, "D", "best")):
        at = choices.index(choice)
        axes.plot(table[at, across], table[at, up], mark, color="black", markersize=6, label=name)
    axes.set_xlabel(OBJECTIVES[across].name)
    axes.set_ylabel(OBJECTIVES[up].name)
    axes.margins(0.12)
    axes.legend(loc="best", frameon=False, fontsize=8)


def _bars(axes: Axes, found: Tuning) -> None:
    """Draw by how much each single change moves the score; left of the line would be better."""
    moved = [(one, one.figures) for one in found.moved if one.figures is not None]
    here = score(found.tried[found.recommended], found.base)
    lengths = [score(each, found.base) - here for _, each in moved]
    names = [f"{one.knob.place.removeprefix('spec.')}: {value_of(one)}" for one, _ in moved]
    hatches = ["///" if wrong_more(each, found.base) else "" for _, each in moved]
    bars = axes.barh(range(len(moved)), lengths, color="0.75", edgecolor="0.35", linewidth=0.6)
    for bar, hatch in zip(bars, hatches, strict=True):
        bar.set_hatch(hatch)
    axes.axvline(0.0, color="black", linewidth=0.9)
    axes.set_yticks(range(len(moved)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("change of the score; less is better; hatched: more wrong verdicts")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, bold: str = "") -> str:
    """Return a table; rows with a cell that begins with `bold` stand out."""
    body = "\n".join(
        f"<tr{_BOLD if bold and any(cell.startswith(bold) for cell in row) else ''}>{_cells(row)}</tr>" for row in rows
    )
    return f"<table>\n<tr>{''.join(f'<th>{escape(one)}</th>' for one in columns)}</tr>\n{body}\n</table>"


def _cells(row: Sequence[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in row)


def _note(sentences: Iterable[str]) -> str:
    return f'<p class="note">{escape(" ".join(sentences))}</p>'
