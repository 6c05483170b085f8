"""Evidence of one rollout as bytes and back, bit for bit: baseline, evidence, watermarks and waiting counts.

Numbers of rows are not kept, only what stands in them: a checkpoint fits any fleet. It holds no samples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from guardian.core.columns import Columns
from guardian.core.contest import Contest
from guardian.core.looks import Part, SeriesKey
from guardian.core.model import RolloutId, Track
from guardian.core.policy import Policy
from guardian.core.series import Watermark
from guardian.core.sheets import Pod, Sheet

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet, Opened

VERSION: Final = 4
_LINKS: Final = frozenset(
    {"sheet", "slot", "member", "cell", "main", "warm", "rollout", "contest", "pod", "column", "side", "risk"}
    | {"stratum", "whole"}
)
"""Columns that hold numbers of other rows, and what follows from the policy."""
_AFRESH: Final = ("gain", "information", "lean", "square", "safe_gain", "safe_information", "started", "totals")
"""What begins anew when a margin changes: sums against the margin, not the baseline."""

Row = dict[str, bytes]


def is_blank(opened: Opened) -> bool:
    """Whether no series of the rollout was seen yet: opening it anew gives the same evidence, which is none."""
    return not any(sheet.pods for sheet in opened.sheets.values())


def pack(fleet: Fleet, opened: Opened) -> bytes:
    """All that is known of one open rollout."""
    return msgspec.msgpack.encode(
        {
            "version": VERSION,
            "rollout": _row(fleet.rollouts, opened.number),
            "weight": opened.weight,
            "apart": {"marks": opened.marks, "left_out": opened.left_out},
            "sheets": [_sheet(fleet, sheet) for sheet in opened.sheets.values()],
        }
    )


def _row(columns: Columns, number: int) -> Row:
    return {name: value.tobytes() for name, value in columns.row(number).items() if name not in _LINKS}


def _put(columns: Columns, number: int, row: Row, *, without: tuple[str, ...] = ()) -> None:
    for name, raw in row.items():
        if not name.startswith(without) if without else True:
            columns[name][number] = np.frombuffer(raw).reshape(columns[name].shape[1:])


def _rule(sheet: Sheet) -> bytes:
    guardrail = sheet.guardrail
    return msgspec.json.encode([guardrail.compare, guardrail.warm_up])


def _budget(sheet: Sheet) -> bytes:
    """What the windows of burn rates rest on: other thresholds of the objective leave them as they are."""
    objective = sheet.guardrail.objective
    if objective is None:
        return b""
    return msgspec.json.encode([objective.target, objective.quantile, objective.scope, objective.burn_rate])


def _sheet(fleet: Fleet, sheet: Sheet) -> dict[str, Any]:
    contest = fleet.roster.contests[sheet.contest] if sheet.arm >= 0 else None
    packed: dict[str, Any] = {
        "name": sheet.guardrail.name,
        "rule": _rule(sheet),
        "objective": msgspec.json.encode(sheet.guardrail.objective),
        "row": _row(fleet.sheets, sheet.number),
        "bounds": None if sheet.layout is None else list(sheet.layout.bounds),
        "totals": None if sheet.layout is None else _row(sheet.layout.totals, sheet.slot),
        "objective_row": None if sheet.objective < 0 else _row(fleet.objectives.rows, sheet.objective),
        "alike_row": None if sheet.alike < 0 else _row(fleet.objectives.rows, sheet.alike),
        "burn": None if sheet.burn < 0 else (_budget(sheet), _row(fleet.burning.rows, sheet.burn)),
        "burn_alike": None if sheet.burn_alike < 0 else _row(fleet.burning.rows, sheet.burn_alike),
        "past": None if sheet.past < 0 else fleet.own_past.pack(sheet.past),
        "anomalies": dict(sheet.anomalies),
        "pods": [_pod(fleet, sheet, pod, contest) for pod in sheet.pods.values()],
        "strata": [] if contest is None else [_stratum(contest, *stratum) for stratum in sheet.strata.items()],
        "abreast": [_row(fleet.table.abreast.sides, side) for side in _sides(fleet, sheet)],
    }
    if contest is not None:
        packed["arm"] = _row(fleet.roster.arms, sheet.arm)
        packed["cell"] = _row(contest.cells, sheet.cell)
        packed["panels"] = [[_row(part, sheet.cell) for part in _cell_parts(arm)] for arm in contest.arms]
    return packed


def _sides(fleet: Fleet, sheet: Sheet) -> range:
    """Rows of a sheet's tracks among those that are waited for; none before its first pod."""
    return fleet.table.abreast.sides_of(sheet.number) if sheet.pods else range(0)


def _stratum(contest: Contest, name: str, number: int) -> tuple[str, list[Row]]:
    return name, [_row(arm.panel.strata.rows, number) for arm in contest.arms]


def _cell_parts(arm: Any) -> tuple[Columns, ...]:
    noise = arm.panel.noise
    return (arm.panel.cells, arm.cells, noise.cells, noise.tracks, noise.contrasts)


def _pod_parts(arm: Any) -> tuple[Columns, ...]:
    return (arm.panel.pods, arm.pods, arm.panel.noise.pods)


def _pod(fleet: Fleet, sheet: Sheet, pod: Pod, contest: Contest | None) -> dict[str, Any]:
    packed: dict[str, Any] = {
        "track": pod.track,
        "name": pod.host,
        "stratum": pod.stratum,
        "row": _row(fleet.pods, pod.number),
        "first": [float(fleet.table.pods[name][pod.number]) for name in ("first", "seen")],
        "carry": None if sheet.layout is None else _row(sheet.layout.carry, pod.slot),
        "series": [[key.part, key.le, key.labels, fleet.table.watermark(number)] for key, number in pod.series.items()],
    }
    if contest is not None and pod.member >= 0:
        packed["member"] = _row(contest.members, pod.member)
        packed["slots"] = [
            None if slot < 0 else [_row(part, slot) for part in _pod_parts(arm)]
            for arm, slot in zip(contest.arms, _slots(contest, pod.member), strict=False)
        ]
    return packed


def _slots(contest: Contest, member: int) -> tuple[int, int]:
    return int(contest.members["main"][member]), int(contest.members["warm"][member])


def unpack(fleet: Fleet, rollout: RolloutId, policy: Policy, blob: bytes) -> None:
    """Open `rollout` with what `pack` gave; see Fleet.restore. Raises ValueError where that is impossible."""
    try:
        content = msgspec.msgpack.decode(blob)
        version = content["version"]
    except (msgspec.DecodeError, KeyError, TypeError) as cause:
        raise ValueError("this is not a checkpoint of evidence") from cause
    if version != VERSION:
        raise ValueError(f"checkpoint of version {version}, this guardian reads {VERSION}")
    before = fleet.opened.get(rollout)
    numbers = {} if before is None else _numbers(before)
    fleet.close(rollout)
    fleet.open(rollout, policy)
    try:
        _fill(fleet, rollout, content, policy, numbers)
    except KeyError as cause:  # a newer guardian wrote it: half of its evidence is no evidence
        fleet.close(rollout)
        fleet.open(rollout, policy)
        raise ValueError(f"this guardian does not know {cause} of the checkpoint") from cause
    for key, number in numbers.items():
        fleet.keep_series(key, number)


def _fill(
    fleet: Fleet, rollout: RolloutId, content: dict[str, Any], policy: Policy, numbers: dict[SeriesKey, int]
) -> None:
    opened = fleet.opened[rollout]
    _put(fleet.rollouts, opened.number, content["rollout"])
    fleet.rollouts["tick"][opened.number] = policy.interval
    opened.weight = content["weight"]
    if opened.weight is not None:
        fleet.rollouts["weight"][opened.number] = opened.weight
    for packed in content["sheets"]:
        sheet = opened.sheets.get(packed["name"])
        if sheet is not None:
            _restore_sheet(fleet, rollout, sheet, packed, numbers)
            for side, row in zip(_sides(fleet, sheet), packed.get("abreast", ()), strict=False):
                _put(fleet.table.abreast.sides, side, row, without=("tick",))
    _restore_apart(opened, content)


def _restore_apart(opened: Opened, content: dict[str, Any]) -> None:
    """Take over what may not count; sums against another margin are forgotten: their guardrail begins afresh."""
    apart = content["apart"]
    rules = {packed["name"]: packed["rule"] for packed in content["sheets"]}
    kept = {name for name, sheet in opened.sheets.items() if rules.get(name) == _rule(sheet)}
    for other, mark in apart["marks"].items():
        opened.marks[other] = {name: sums for name, sums in mark.items() if name in kept}
    opened.left_out.extend(apart["left_out"])


def _numbers(opened: Opened) -> dict[SeriesKey, int]:
    pods = [pod for sheet in opened.sheets.values() for pod in sheet.pods.values()]
    return {key: number for pod in pods for key, number in pod.series.items()}


def _restore_sheet(
    fleet: Fleet, rollout: RolloutId, sheet: Sheet, packed: dict[str, Any], numbers: dict[SeriesKey, int]
) -> None:
    _put(fleet.sheets, sheet.number, packed["row"])
    sheet.anomalies.update(packed["anomalies"])
    if sheet.objective >= 0 and packed["objective"] == msgspec.json.encode(sheet.guardrail.objective):
        _put(fleet.objectives.rows, sheet.objective, packed["objective_row"])
        if sheet.alike >= 0 and packed["alike_row"] is not None:
            _put(fleet.objectives.rows, sheet.alike, packed["alike_row"])
    if sheet.burn >= 0 and packed["burn"] is not None and packed["burn"][0] == _budget(sheet):
        _put(fleet.burning.rows, sheet.burn, packed["burn"][1])
        if sheet.burn_alike >= 0 and packed["burn_alike"] is not None:
            _put(fleet.burning.rows, sheet.burn_alike, packed["burn_alike"])
    if sheet.past >= 0 and packed["past"] is not None:
        fleet.own_past.put(sheet.past, packed["past"])
    if packed["bounds"] is not None and sheet.layout is None:
        fleet.bind(sheet, tuple(packed["bounds"]))
    if sheet.layout is not None:
        _put(sheet.layout.totals, sheet.slot, packed["totals"])
    afresh = _AFRESH if packed["rule"] != _rule(sheet) else ()
    for each in packed["pods"]:
        _restore_pod(fleet, rollout, sheet, each, numbers, afresh)
    if sheet.arm >= 0 and "arm" in packed:
        _restore_cell(fleet, sheet, packed, afresh)


def _restore_cell(fleet: Fleet, sheet: Sheet, packed: dict[str, Any], afresh: tuple[str, ...]) -> None:
    contest = fleet.roster.contests[sheet.contest]
    if not afresh:
        _put(fleet.roster.arms, sheet.arm, packed["arm"])
    _put(contest.cells, sheet.cell, packed["cell"])
    for name, rows in packed["strata"]:
        if name in sheet.strata:
            for arm, row in zip(contest.arms, rows, strict=False):
                _put(arm.panel.strata.rows, sheet.strata[name], row)
    for arm, rows in zip(contest.arms, packed["panels"], strict=False):
        for part, row in zip(_cell_parts(arm), rows, strict=True):
            _put(part, sheet.cell, row, without=afresh if part is arm.panel.cells else ())


def _restore_pod(
    fleet: Fleet, rollout: RolloutId, sheet: Sheet, packed: dict[str, Any], numbers: dict[SeriesKey, int],
    afresh: tuple[str, ...],
) -> None:  # fmt: skip
    track = Track(packed["track"])
    pod = fleet.add_pod(sheet, track, packed["name"], packed["stratum"])
    _put(fleet.pods, pod.number, packed["row"])
    fleet.table.pods["first"][pod.number], fleet.table.pods["seen"][pod.number] = packed["first"]
    if sheet.layout is not None and packed["carry"] is not None:
        _put(sheet.layout.carry, pod.slot, packed["carry"])
    for part, le, labels, mark in packed["series"]:
        key = SeriesKey(
            rollout=rollout, guardrail=sheet.guardrail.name, track=track, pod=pod.host, part=Part(part),
            le=math.nan if math.isnan(le) else le, labels=labels, stratum=pod.stratum,
        )  # fmt: skip
        known = numbers.get(key)
        number = fleet.keep_series(key, known) if known is not None else fleet.series(key)
        fleet.table.resume(number, msgspec.convert(mark, Watermark))
    if pod.member < 0 or "member" not in packed:
        return
    contest = fleet.roster.contests[sheet.contest]
    _put(contest.members, pod.member, packed["member"])
    for name, arm, rows in zip(("main", "warm"), contest.arms, packed["slots"], strict=False):
        if rows is None:
            continue
        slot = contest.seat(pod.member, name, arm)
        for part, row in zip(_pod_parts(arm), rows, strict=True):
            _put(part, slot, row, without=afresh if part is arm.panel.pods else ())
