"""Leaves a stretch of time out of a rollout's evidence: the time in which a dependency's bad revision had users.

The sums are remembered when the stretch begins (a mark) and put back when it is over; then it is as if its ticks had
never been compared. Baselines, totals and objectives keep them. A guardrail whose rollback evidence would rise by that
keeps the stretch: leaving out never speaks against a rollout. When to do it is overlaps.py's part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from guardian.core.columns import Columns
from guardian.core.contest import Contest
from guardian.core.evidence import SINCE
from guardian.core.intake import Intake
from guardian.core.model import RolloutId
from guardian.core.sheets import Pod, Sheet

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet

WHOLE: Final = ("safe_gain", "safe_information")
"""Sums of a cell that run from the first canary traffic only."""
OF_PODS: Final = ("lean", "square")

Row = dict[str, bytes]
Sums = tuple[Row, dict[str, Row]]
"""Of one arm of one guardrail: the cell's sums, and those of its pods by track and name."""
Mark = dict[str, list[Sums]]
"""By guardrail. Plain bytes, so that a checkpoint holds it as it is."""


class Apart:
    """Marks of all rollouts of one fleet; kept with each rollout, in Opened."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def marked(self, rollout: RolloutId) -> tuple[str, ...]:
        """Return the other rollouts whose time began and may yet be left out."""
        opened = self._fleet.opened.get(rollout)
        return tuple(opened.marks) if opened is not None else ()

    def left_out(self, rollout: RolloutId) -> tuple[str, ...]:
        """Return the other rollouts whose time was left out."""
        opened = self._fleet.opened.get(rollout)
        return tuple(opened.left_out) if opened is not None else ()

    def mark(self, rollout: RolloutId, other: str) -> None:
        """Remember the sums as they are: the time of `other` begins. The first mark of it stands."""
        opened = self._fleet.opened.get(rollout)
        if opened is not None and other not in opened.marks and other not in opened.left_out:
            opened.marks[other] = {name: self._sums(sheet) for name, sheet in opened.sheets.items() if sheet.arm >= 0}

    def unmark(self, rollout: RolloutId, other: str) -> None:
        """The time of `other` stays part of the evidence."""
        opened = self._fleet.opened.get(rollout)
        if opened is not None:
            opened.marks.pop(other, None)

    def leave_out(self, rollout: RolloutId, other: str) -> None:
        """The time of `other` is over: go on from the sums of its beginning, where that is no worse for the canary."""
        opened = self._fleet.opened.get(rollout)
        if opened is None or other not in opened.marks:
            return
        later = list(opened.marks)[list(opened.marks).index(other) + 1 :]
        mark = opened.marks.pop(other)
        opened.left_out.append(other)
        for name, sheet in opened.sheets.items():
            if sheet.arm < 0 or not self._put_back(sheet, mark.get(name, [])):
                continue
            for each in later:  # what they remember lies in the time left out
                opened.marks[each].pop(name, None)
                if name in mark:
                    opened.marks[each][name] = mark[name]

    def _put_back(self, sheet: Sheet, sums: list[Sums]) -> bool:
        """Set the sums of one guardrail, unless its rollback evidence would rise; whether that was done."""
        fleet, contest = self._fleet, self._fleet.roster.contests[sheet.contest]
        before, now = float(fleet.roster.arms["harm"][sheet.arm]), self._sums(sheet)
        blank: Sums = ({}, {})
        for arm, slots in enumerate(contest.arms):
            _set(contest, arm, slots, sheet, sums[arm] if arm < len(sums) else blank)
        found = contest.evidence(np.array([sheet.cell]))
        if found.harm[0] > before:
            for (arm, slots), each in zip(enumerate(contest.arms), now, strict=True):
                _set(contest, arm, slots, sheet, each)
            return False
        for name, value in (("harm", found.harm), ("safe", found.safe), ("unrest", found.unrest)):
            fleet.roster.arms[name][sheet.arm] = value[0]
        return True

    def _sums(self, sheet: Sheet) -> list[Sums]:
        contest = self._fleet.roster.contests[sheet.contest]
        return [_read(contest, arm, slots, sheet) for arm, slots in enumerate(contest.arms)]


def _read(contest: Contest, arm: int, intake: Intake, sheet: Sheet) -> Sums:
    cells, pods = intake.panel.cells, intake.panel.pods
    names = (*SINCE, *WHOLE, "started", *(f"{name}0" for name in SINCE))
    cell = {name: cells[name][sheet.cell].tobytes() for name in names}
    rows = {}
    for pod in sheet.pods.values():
        if (slot := _slot(contest, arm, pod)) >= 0:
            columns = (*OF_PODS, *(f"{name}0" for name in OF_PODS))
            rows[f"{pod.track}/{pod.name}"] = {name: pods[name][slot].tobytes() for name in columns}
    return cell, rows


def _slot(contest: Contest, arm: int, pod: Pod) -> int:
    return int(contest.members[("main", "warm")[arm]][pod.member]) if pod.member >= 0 else -1


def _set(contest: Contest, arm: int, intake: Intake, sheet: Sheet, sums: Sums) -> None:
    """Go on from these sums; starts of the mixture that came later begin with them."""
    cell, rows = sums
    started = int(np.frombuffer(cell["started"])[0]) if cell else 0
    for name in WHOLE:
        intake.panel.cells[name][sheet.cell] = _value(intake.panel.cells, name, cell)
    _set_since(intake.panel.cells, sheet.cell, SINCE, cell, started)
    for pod in sheet.pods.values():
        if (slot := _slot(contest, arm, pod)) >= 0:
            _set_since(intake.panel.pods, slot, OF_PODS, rows.get(f"{pod.track}/{pod.name}", {}), started)


def _set_since(columns: Columns, place: int, names: tuple[str, ...], row: Row, started: int) -> None:
    for name in names:
        value, begun = _value(columns, name, row), _value(columns, f"{name}0", row)
        columns[name][place] = value
        columns[f"{name}0"][place] = value  # broadcast over the starts
        columns[f"{name}0"][place, :started] = begun[:started]


def _value(columns: Columns, name: str, row: Row) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    shape = columns[name].shape[1:]
    return np.frombuffer(row[name]).reshape(shape) if name in row else np.zeros(shape)
