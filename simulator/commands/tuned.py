"""What `guardian tune` found, for people and for programs: tables, plain data, the patch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from guardian.cli.output import Table
from guardian.core.model import Verdict
from guardian.core.sentences import duration
from simulator.commands.bench import difference, ratio
from simulator.scenario import LATE
from simulator.tuning.confirm import LEVEL, Confirmation, Difference
from simulator.tuning.edit import Value, patch, written
from simulator.tuning.objectives import OBJECTIVES, Figures, Objective, score, wrong_more
from simulator.tuning.space import Choice
from simulator.tuning.study import Moved, Tuning
from simulator.tuning.trial import Tried

MOST: Final = 12
"""Policies of the front that a table shows."""
AS_IT_IS: Final = "the policy as it is"


def patch_of(found: Tuning) -> str:
    """Return the recommended change as a unified diff; empty where it is to keep the policy."""
    return patch(found.space.text, found.space.policy_text(found.recommended), file=found.space.file)


def answer(found: Tuning) -> str:
    """Return the recommendation in a sentence, and what it costs."""
    if found.recommended != found.space.base and found.confirmation is not None:
        return change_it(found.confirmation)
    if found.candidate == found.space.base:
        return "Keep it: nothing that was tried is better."
    worse = [one.objective.name for one in _differences(found) if one.worse]
    if worse:
        return f"Keep it: what looked best in the search is worse on fresh seeds, in {' and '.join(worse)}."
    return "Keep it: what looked best in the search is not proved better on fresh seeds."


def change_it(confirmation: Confirmation) -> str:
    """Return what fresh seeds proved of a policy that is recommended: what is better, and what worse all the same."""
    better, worse = (
        " and ".join(one.objective.name for one in confirmation.differences if getattr(one, which))
        for which in ("better", "worse")
    )
    told = f"Change it: {better} proved better on {len(confirmation.seeds)} fresh seeds a scenario, verdicts no worse."
    return f"{told} Proved worse: {worse}." if worse else told


def tables(found: Tuning) -> list[Table]:
    """Return what fresh seeds say, the front, and what each knob does."""
    shown = [_front_table(found)]
    if found.confirmation is not None:
        shown.insert(0, _confirmation_table(found, found.confirmation))
    return [*shown, *([_tapes_table(found)] if found.tapes else []), _moved_table(found)]


def told(changes: Mapping[str, Value]) -> str:
    """Return what a choice changes, in a line."""
    return ", ".join(f"{place.removeprefix('spec.')}: {written(value)}" for place, value in changes.items()) or AS_IT_IS


def front_rows(found: Tuning) -> list[tuple[Choice, list[str]]]:
    """Return the policy as it is, then the front, best first: choice and cells, as COLUMNS says."""
    choices = list(dict.fromkeys((found.space.base, found.candidate, *found.front)))
    return [(choice, _front_row(found, choice)) for choice in choices]


COLUMNS: Final = (*(objective.name for objective in OBJECTIVES), "score", "", "policy")
"""The policy comes last: where a terminal is too narrow it stands below its figures."""


def not_looked_at(found: Tuning) -> list[str]:
    """Return what the answer does not rest on, a sentence each."""
    usual = max(found.skipped, key=lambda reason: found.skipped[reason], default="")
    skipped = [f"{sum(found.skipped.values())} combinations are no policy, such as: {usual}"] if usual else []
    left = found.space.size - len(found.tried) - sum(found.skipped.values())
    unmoved = sum(one.figures is None for one in found.moved)
    others = [f"{left:,} of {found.space.size:,} combinations were not tried ({found.stopped})"] if left > 0 else []
    if unmoved:
        others.append(f"{unmoved} single changes of the recommended policy were not tried: there was no time left")
    return [
        *others,
        *skipped,
        "anything that no scenario shows: a policy is as good as the incidents it was tried on",
        *(["when it would have promoted recorded releases, and whom it would have hurt"] if found.tapes else []),
        "accepted risks and objectives, unless a search space names them",
    ]


def moved_rows(found: Tuning) -> list[list[str]]:
    """Return what the recommended policy costs with one knob elsewhere: place, value, figures, score."""
    here = found.tried[found.recommended]
    return [
        [one.knob.place.removeprefix("spec."), value_of(one), *_costs(one.figures, here, found.base)]
        for one in found.moved
    ]


TAPE_COLUMNS: Final = ("tape", "right", "recorded", AS_IT_IS, "best of the search")
TAPE_NOTE: Final = (
    "A tape counts once for each policy, in false rollbacks, missed and delay. Its traffic was sent as it was "
    "recorded: it does not tell when another policy would have promoted, nor whom that would have hurt."
)


def tape_rows(found: Tuning) -> list[list[str]]:
    """Return what was recorded and what policies come to on it, as TAPE_COLUMNS says; times after the first traffic."""
    return [
        [
            name,
            tape.verdict.value + ("" if tape.within is None else f" by {duration(tape.onset + tape.within)}"),
            tape.recorded,
            *(_on_tape(found.replays[choice][name]) for choice in (found.space.base, found.candidate)),
        ]
        for name, tape in found.tapes.items()
    ]


def _on_tape(run: Tried) -> str:
    came = f"{run.verdict} after {duration(run.decided_at)}"
    if run.verdict == Verdict.HOLD:
        came = f"undecided after {duration(run.decided_at)}"
        if run.lateness == LATE:
            return f"{came}, when its traffic ended: not known"
    return f"{came}: {'right' if run.right else 'WRONG' if run.wrong else 'missed'}"


CONFIRMED: Final = ("figure", "before", "after", "change (95 %)", "")


def confirmation_rows(confirmation: Confirmation) -> list[list[str]]:
    """Return what fresh seeds say, as CONFIRMED names it: figure, before, after, difference with limits, standing."""
    return [
        [
            one.objective.name,
            _number(one.before),
            _number(one.after),
            difference(one.change) if one.objective.verdict else ratio(one.change),
            "better" if one.better else "WORSE" if one.worse else "",
        ]
        for one in confirmation.differences
    ]


def plain(found: Tuning) -> dict[str, Any]:
    """Return all of it for JSON and YAML."""
    return {
        "answer": answer(found),
        "recommended": dict(found.space.changes(found.recommended)),
        "patch": patch_of(found),
        "candidates": [
            {
                "changes": dict(found.space.changes(choice)),
                "figures": _named(each),
                "score": round(score(each, found.base), 6),
                "front": choice in found.front,
                "wrong_more": wrong_more(each, found.base),
            }
            for choice, each in found.tried.items()
        ],
        "confirmation": None if found.confirmation is None else _plain_confirmation(found, found.confirmation),
        "sensitivity": [
            {
                "place": one.knob.place,
                "value": one.knob.value(one.level),
                "figures": None if one.figures is None else _named(one.figures),
            }
            for one in found.moved
        ],
        "tapes": _plain_tapes(found),
        "stopped": found.stopped,
        "not_looked_at": not_looked_at(found),
    }


def _plain_tapes(found: Tuning) -> list[dict[str, Any]]:
    return [
        {
            "tape": name,
            "right": tape.verdict.value,
            "recorded": tape.recorded,
            "replays": [
                {
                    "changes": dict(found.space.changes(choice)),
                    "verdict": replays[name].verdict,
                    "at": replays[name].decided_at,
                    "wrong": replays[name].wrong,
                    "lateness": replays[name].lateness,
                }
                for choice, replays in found.replays.items()
            ],
        }
        for name, tape in found.tapes.items()
    ]


def _plain_confirmation(found: Tuning, confirmation: Confirmation) -> dict[str, Any]:
    return {
        "changes": dict(found.space.changes(found.candidate)),
        "first_seed": confirmation.seeds[0],
        "seeds": len(confirmation.seeds),
        "holds": confirmation.holds,
        "differences": [
            {
                "objective": _key(one.objective),
                "before": one.before,
                "after": one.after,
                "kind": "difference" if one.objective.verdict else "ratio",
                "estimate": _finite(one.change.estimate),
                "lower": _finite(one.change.lower),
                "upper": _finite(one.change.upper),
                "better": one.better,
                "worse": one.worse,
            }
            for one in confirmation.differences
        ],
    }


def _confirmation_table(found: Tuning, confirmation: Confirmation) -> Table:
    many = len(confirmation.seeds)
    return Table(
        title=f"On {many} fresh seeds of each scenario: {told(found.space.changes(found.candidate))}",
        columns=CONFIRMED,
        rows=confirmation_rows(confirmation),
        notes=(
            (
                "The search never saw these seeds. better, WORSE: proved; of changes that do nothing at most "
                f"{LEVEL:.1%} are called so, each way."
            ),
        ),
    )


def _front_table(found: Tuning) -> Table:
    rows = [cells for _, cells in front_rows(found)]
    more = (f"and {len(rows) - MOST} more: -o json lists them.",) if len(rows) > MOST else ()
    return Table(
        title=f"Tried: {len(found.tried)} policies; nobody beats these",
        columns=COLUMNS,
        rows=rows[:MOST],
        notes=(
            *more,
            *(f"{one.name}: {one.meaning}." for one in OBJECTIVES),
            "score: geometric mean of the six, 1 = the policy that came in; smaller is better in all of them.",
        ),
    )


def _tapes_table(found: Tuning) -> Table:
    title = f"Recorded rollouts; best of the search: {told(found.space.changes(found.candidate))}"
    return Table(title=title, columns=TAPE_COLUMNS, rows=tape_rows(found), notes=(TAPE_NOTE,))


def _moved_table(found: Tuning) -> Table:
    return Table(
        title="What each knob does: the recommended policy with one value elsewhere, same seeds",
        columns=("place", "value", *(objective.name for objective in OBJECTIVES), "score"),
        rows=moved_rows(found),
        notes=tuple(f"Not looked at: {one}." for one in not_looked_at(found)),
    )


def _front_row(found: Tuning, choice: Choice) -> list[str]:
    each = found.tried[choice]
    standing = [
        "recommended" if choice == found.recommended else "not proved" if choice == found.candidate else "",
        "more wrong verdicts" if wrong_more(each, found.base) else "",
        "beaten" if choice not in found.front else "",
    ]
    cells = [_number(value) for value in each]
    return [
        *cells,
        f"{score(each, found.base):.3f}",
        ", ".join(filter(None, standing)),
        told(found.space.changes(choice)),
    ]


def _costs(there: Figures | None, here: Figures, base: Figures) -> list[str]:
    if there is None:
        return ["not tried", *[""] * len(OBJECTIVES)]
    cells = ["=" if a == b else _number(a) for a, b in zip(there, here, strict=True)]
    return [*cells, "=" if there == here else f"{score(there, base):.3f}"]


def value_of(one: Moved) -> str:
    """Return a knob's other value as a policy would have it."""
    value = one.knob.value(one.level)
    return "(default)" if value is None else written(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _named(each: Figures) -> dict[str, float | None]:
    return {_key(objective): value for objective, value in zip(OBJECTIVES, each, strict=True)}


def _key(objective: Objective) -> str:
    return objective.name.replace(" ", "_")


def _differences(found: Tuning) -> Sequence[Difference]:
    return found.confirmation.differences if found.confirmation is not None else ()
