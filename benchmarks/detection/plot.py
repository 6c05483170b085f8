"""The comparison as a picture: how often healthy releases are rolled back, and how late bad ones. matplotlib, SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.detection.cases import CASES, Kind
from benchmarks.detection.rules import OURS, RULES

Json = dict[str, Any]
SIZES: Final = (1.5, 2.0, 3.0, 5.0)
FLOOR: Final = 0.05
"""Per cent at which no rollback at all is drawn on the logarithmic axis."""
COLOURS: Final = ("#c1121f", *(f"C{number}" for number in (0, 1, 2, 4, 5, 6, 8, 9)))


def draw(result: Json, file: Path) -> None:
    """Write the picture of a whole result; the same result gives the same file."""
    figure = Figure(figsize=(10.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    cells = {cell["name"]: cell for cell in result["cells"]}
    _false(left, cells)
    _delays(right, cells)
    with mpl.rc_context({"svg.hashsalt": "detection", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def _false(axes: Axes, cells: Json) -> None:
    """One dot per family and rule, spread sideways in the order of the families."""
    healthy = [name for name, case in CASES.items() if case.kind is Kind.HEALTHY and name in cells]
    sideways = np.linspace(-0.35, 0.35, len(healthy)) if len(healthy) > 1 else np.zeros(1)
    for place, (rule, colour) in enumerate(zip(RULES, COLOURS, strict=True)):
        shares = [100 * cells[name]["events"][f"{rule}: rolled back"] / cells[name]["runs"] for name in healthy]
        axes.plot(place + sideways, np.maximum(shares, FLOOR), ".", color=colour, markersize=4, alpha=0.7)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_yticks([FLOOR, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    axes.set_xticks(range(len(RULES)), list(RULES), rotation=35, ha="right")
    axes.set_ylabel("rolled back, % of healthy runs")
    axes.set_title("Healthy releases: one dot per noise family", fontsize=10)


def _delays(axes: Axes, cells: Json) -> None:
    """Median delay by size of the regression, 200 rps; rules that found it in less than half have no point."""
    for rule, colour in zip(RULES, COLOURS, strict=True):
        found = []
        for size in SIZES:
            cell = cells.get(f"errors x{size:g}, 200 rps")
            median = None if cell is None else cell["figures"][f"{rule}: delay, s"]["median"]
            found.append(np.nan if median is None else median)
        width = 2.5 if rule == OURS else 1.0
        axes.plot(SIZES, found, "o-", color=colour, linewidth=width, markersize=3, label=rule)
    bounds = [CASES[f"errors x{size:g}, 200 rps"].bound for size in SIZES]
    axes.plot(SIZES, [np.nan if bound is None else bound for bound in bounds], "k--", linewidth=1, label="margin bound")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(SIZES, [f"x{size:g}" for size in SIZES])
    axes.set_yticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1000"])
    axes.minorticks_off()
    axes.set_ylabel("median delay, s")
    axes.set_title("Errors 0.5 % and 200 rps: how late", fontsize=10)
    axes.legend(fontsize=7)
