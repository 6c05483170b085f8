"""docs/scenarios/results.md: what the result file says, as tables. It computes shares and concludes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.environment import ROOT
from benchmarks.library.cells import OURS, RULES
from benchmarks.library.heldout import HELD_OUT, SEEN_BEFORE
from guardian.config.units import format_duration
from guardian.core.model import Verdict
from simulator.gates import SAYS
from simulator.library import library, load
from simulator.outcome import upper_limit
from simulator.scenario import Scenario

Json = dict[str, Any]
DOCUMENT: Final = ROOT / "docs" / "scenarios" / "results.md"
PARTS: Final = ("tuned on", "held out, seen before", "held out, new")
HEAD: Final = """# Results: the library under the guardian and under other rules
Written by `python -m benchmarks.library --docs` from `benchmarks/results/library.json`. {runs}

Right, late and wrong as in [docs/scenarios](README.md#right-late-wrong). Each rule meets the same users, pods and
incidents on the same seeds. A third of the library is held out, by lot (`benchmarks/library/heldout.py`): no default
is changed for it. Of the held-out ones some had been in the library before the lot was drawn.
"""


def part_of(name: str) -> str:
    """Which part of the library a scenario belongs to."""
    if name not in HELD_OUT:
        return PARTS[0]
    return PARTS[1] if name in SEEN_BEFORE else PARTS[2]


def document(result: Json) -> str:
    """The page."""
    known = {scenario.name: scenario for scenario in (load(file) for file in library().values())}
    cells = {cell["name"]: cell for cell in result["cells"]}
    dirty = ", with changes" if result["dirty"] else ""
    runs = f"Commit {result['commit'][:10]}{dirty}, seed {result['seed']}, {result['wall_seconds']:.0f} s."
    lines = [HEAD.format(runs=runs), *_kinds(cells, known), *_ours(cells, known), *_others(cells, known)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _kinds(cells: Mapping[str, Json], known: Mapping[str, Scenario]) -> Iterator[str]:
    """Mistakes by kind and part: a rule that always goes back misses nothing."""
    yield "## Mistakes by kind"
    yield "Bad releases that were missed or found late, and others (healthy, or to be held) that came out wrong.\n"
    yield _row(["part", "runs: bad / others", *(f"{rule}: missed or late / wrong" for rule in RULES)])
    yield _row(["---"] * (2 + len(RULES)))
    for part in (*PARTS, "all"):
        mine = [cell for name, cell in cells.items() if part in (part_of(name), "all")]
        bad = [one for one in mine if known[one["name"]].spec.truth.verdict is Verdict.ROLLBACK]
        rest = [one for one in mine if known[one["name"]].spec.truth.verdict is not Verdict.ROLLBACK]
        row: list[object] = [part, f"{sum(one['runs'] for one in bad)} / {sum(one['runs'] for one in rest)}"]
        for rule in RULES:
            missed = sum(one["runs"] - one["events"][f"{rule}: right"] for one in bad)
            row.append(f"{missed} / {sum(one['events'][f'{rule}: wrong'] for one in rest)}")
        yield _row(row)
    yield ""


def _ours(cells: Mapping[str, Json], known: Mapping[str, Scenario]) -> Iterator[str]:
    yield "## The guardian"
    yield "Wrong: with its upper limit (95 %). Median: in parts of the deadline; late ones count as they are.\n"
    yield _row(
        ["scenario", "part", "what is right", "right", "late", "wrong", "median", "at the latest", "hurt (median)"]
    )
    yield _row(["---"] * 9)
    for name, cell in cells.items():
        truth, runs, events = known[name].spec.truth, cell["runs"], cell["events"]
        median, hurt = (cell["figures"][f"{OURS}: {of}"]["median"] for of in ("of its deadline", "hurt"))
        wrong = events[f"{OURS}: wrong"]
        yield _row([
            f"{name} {known[name].metadata.title}", part_of(name), truth.verdict, f"{events[f'{OURS}: right']}/{runs}",
            events[f"{OURS}: late"], f"{wrong} (<= {upper_limit(wrong, runs):.1%})",
            "never" if median is None else f"{median:.2f}",
            format_duration(truth.within) if truth.within is not None else "-", f"{hurt:,.0f}",
        ])  # fmt: skip
    yield ""


def _others(cells: Mapping[str, Json], known: Mapping[str, Scenario]) -> Iterator[str]:
    yield "## Every rule on the same seeds"
    yield "Right / wrong, and requests that failed in the median run.\n"
    yield _row(["scenario", "what is right", *RULES])
    yield _row(["---"] * (2 + len(RULES)))
    for name, cell in cells.items():
        told = [
            f"{cell['events'][f'{rule}: right']} / {cell['events'][f'{rule}: wrong']}, "
            f"{cell['figures'][f'{rule}: hurt']['median']:,.0f}"
            for rule in RULES
        ]
        yield _row([name, known[name].spec.truth.verdict, *told])
    yield ""
    yield from (f"- **{rule}**: {says}." for rule, says in SAYS.items())
