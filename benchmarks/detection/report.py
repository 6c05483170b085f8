"""Tables of a comparison, made from its result file: for a terminal of 100 columns, and as Markdown for the document.

It computes shares and intervals and concludes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.cells import Standing
from benchmarks.detection.cases import CASES, Case, Kind
from benchmarks.detection.rules import OURS, RULES

Json = dict[str, Any]
ALLOWED: Final = 0.01
NAME_WIDTH: Final = 28
RULE_WIDTH: Final = 7
HEADS: Final = {"growthbook": "growth-\nbook"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field: the figure, what belongs to it, and whether it is beyond what is allowed."""

    text: str
    more: str = ""
    beyond: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table; columns are the name of the row, then one per rule."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]


def share(value: float) -> str:
    """A share in per cent, in at most four characters."""
    return f"{100 * value:.1f}" if value < 0.0995 else f"{100 * value:.0f}"


def interval(count: int, runs: int) -> str:
    """The two-sided 95 % interval of a share, per cent (Clopper and Pearson)."""
    found = binomtest(count, runs).proportion_ci(0.95, method="exact")
    return f"{share(float(found.low))}-{share(float(found.high))}"


def shared(count: int, runs: int, *, allowed: float | None = None) -> Entry:
    """A share with its interval; beyond: even the interval's lower end is above what is allowed."""
    low = float(binomtest(count, runs).proportion_ci(0.95, method="exact").low)
    return Entry(text=share(count / runs), more=interval(count, runs), beyond=allowed is not None and low > allowed)


def seconds(value: float | None) -> str:
    """A time in whole seconds; a dash where there is none."""
    return "-" if value is None else f"{value:.0f}"


def sheets(result: Json) -> list[Sheet]:
    """All tables of one result."""
    cells = {cell["name"]: cell for cell in result["cells"]}
    healthy = [case for case in CASES.values() if case.kind is Kind.HEALTHY and case.name in cells]
    worse = [case for case in CASES.values() if case.kind is Kind.WORSE and case.name in cells]
    found = []
    for signal in ("errors", "latency"):
        mine = [case for case in healthy if case.name.startswith(signal)]
        if mine:
            title = f"Healthy, judged on {signal}: rolled back, % of runs (95 % interval)"
            found.append(_sheet(title, mine, cells, _rolled_back, summed=True))
    if worse:
        found.append(_sheet("Regressions: rolled back, % of runs (95 % interval)", worse, cells, _power))
        found.append(_sheet("Regressions: median delay, s (times the margin bound)", worse, cells, _delay))
        found.append(_sheet("Regressions: requests hurt, median (90th percentile)", worse, cells, _hurt))
        found.append(_sheet("Regressions: promoted, % of runs (95 % interval)", worse, cells, _promoted))
    if healthy:
        found.append(_sheet("Healthy: promoted, % of runs (median time, s)", healthy, cells, _promotion))
    return found


Field = Callable[[Case, Json, str], Entry]


def _sheet(title: str, cases: Sequence[Case], cells: Json, field: Field, *, summed: bool = False) -> Sheet:
    rows = [(_short(case.name), tuple(field(case, cells[case.name], rule) for rule in RULES)) for case in cases]
    if summed:
        rows += list(_sums([cells[case.name] for case in cases], rows))
    return Sheet(title=title, heads=tuple(RULES), rows=tuple(rows))


def _sums(
    cells: Sequence[Json], rows: Sequence[tuple[str, tuple[Entry, ...]]]
) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    runs = sum(cell["runs"] for cell in cells)
    totals = [sum(cell["events"][f"{rule}: rolled back"] for cell in cells) for rule in RULES]
    yield "all of them", tuple(shared(total, runs, allowed=ALLOWED) for total in totals)
    beyond = [sum(fields[column].beyond for _, fields in rows) for column in range(len(RULES))]
    yield "families surely above 1 %", tuple(Entry(text=f"{count}", more=f"of {len(cells)}") for count in beyond)


def _short(name: str) -> str:
    return name.removeprefix("errors: ").removeprefix("latency: ")


def _rolled_back(case: Case, cell: Json, rule: str) -> Entry:
    del case
    return shared(cell["events"][f"{rule}: rolled back"], cell["runs"], allowed=ALLOWED)


def _power(case: Case, cell: Json, rule: str) -> Entry:
    del case
    return shared(cell["events"][f"{rule}: rolled back"], cell["runs"])


def _promoted(case: Case, cell: Json, rule: str) -> Entry:
    del case
    return shared(cell["events"][f"{rule}: promoted"], cell["runs"])


def _promotion(case: Case, cell: Json, rule: str) -> Entry:
    del case
    at = cell["figures"][f"{rule}: promoted at, s"]["median"]
    return Entry(text=share(cell["events"][f"{rule}: promoted"] / cell["runs"]), more=seconds(at))


def _delay(case: Case, cell: Json, rule: str) -> Entry:
    median, bound = cell["figures"][f"{rule}: delay, s"]["median"], case.bound
    times = "" if median is None or bound is None else f"{median / max(bound, case.situation.tick):.1f}x"
    return Entry(text=seconds(median), more=times)


def _hurt(case: Case, cell: Json, rule: str) -> Entry:
    del case
    figure = cell["figures"][f"{rule}: hurt"]
    return Entry(text=_many(figure["median"]), more=_many(figure["p90"]))


def _many(value: float) -> str:
    if abs(value) < 9_999.5:
        return f"{value:.0f}".replace("-0", "0")
    return f"{value / 1000:.0f}k"


def for_terminal(sheet: Sheet) -> Table:
    """At most 100 columns wide; each field takes two lines where it has two parts."""
    shown = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    shown.add_column("", width=NAME_WIDTH, overflow="fold")
    for head in sheet.heads:
        shown.add_column(HEADS.get(head, head), width=RULE_WIDTH, justify="right")
    for name, fields in sheet.rows:
        texts = [f"{'[bold]' if field.beyond else ''}{field.text}{'[/]' if field.beyond else ''}" for field in fields]
        lines = [
            f"{text}\n[dim]{field.more}[/]" if field.more else text for text, field in zip(texts, fields, strict=True)
        ]
        shown.add_row(name, *lines)
    return shown


def as_markdown(sheet: Sheet) -> str:
    """The same as a Markdown table; bold: surely beyond what is allowed."""
    lines = [f"**{sheet.title}**", "", "| |" + "".join(f" {head} |" for head in sheet.heads)]
    lines.append("| --- |" + " ---: |" * len(sheet.heads))
    for name, fields in sheet.rows:
        texts = [f"**{field.text}**" if field.beyond else field.text for field in fields]
        shown = [f"{text} ({field.more})" if field.more else text for text, field in zip(texts, fields, strict=True)]
        lines.append(f"| {name} |" + "".join(f" {each} |" for each in shown))
    return "\n".join(lines) + "\n"


def basis(result: Json) -> str:
    """What the figures rest on, in a few sentences."""
    machine, runs = result["machine"], sorted({cell["runs"] for cell in result["cells"]})
    each = f"{runs[0]:,}" if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,}"
    changed = " with changes that were not committed" if result["dirty"] else ""
    standings = [cell["standing"] for cell in result["cells"]]
    told = ", ".join(f"{standings.count(one)} {one}" for one in Standing)
    return (
        f"{len(result['cells'])} cases, {each} runs each, all rules on the same streams; "
        f"commit {result['commit'][:12]}{changed}, seed {result['seed']}, {result['wall_seconds'] / 60:.0f} minutes on "
        f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, numpy {machine['numpy']}. "
        f"Claims of ours, by the rule of decisions/0003-campaigns.md: {told}."
    )


def rules_table() -> str:
    """The rules with their parameters and sources, as Markdown."""
    lines = ["| rule | parameters | source |", "| --- | --- | --- |"]
    lines += [f"| {rule.name} | {rule.parameters} | {rule.source} |" for rule in RULES.values()]
    return "\n".join(lines) + "\n"


def narrowed(result: Json) -> str:
    """One line for each healthy family in which ours is surely beyond what is allowed; empty when there is none."""
    return "".join(
        f"{OURS} is surely above 1 % in {cell['name']}\n"
        for cell in result["cells"]
        if CASES[cell["name"]].kind is Kind.HEALTHY and _rolled_back(CASES[cell["name"]], cell, OURS).beyond
    )
