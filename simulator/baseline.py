"""What a benchmark of guardrails measured: one figure a scenario with its runs, written as lines and read back.

A line holds what every benchmark says (name, value, unit, reference, ratio, machine) and the runs by seed, so that a
later run of the same seeds can be compared pair by pair. Does not run or compare anything.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import scipy

from guardian.errors import ScenarioError
from simulator.outcome import Outcome
from simulator.scenario import LATE, Scenario

PREFIX: Final = "guardrails/"
UNIT: Final = "share of runs right in time"
REFERENCE: Final = "naive gate, same seeds"


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One seed. lateness: of the worst milestone in units of its deadline, None where it never came."""

    seed: int
    verdict: str
    wrong: bool
    lateness: float | None
    decided_at: float
    bad_requests: int

    @property
    def came(self) -> bool:
        """Whether nothing forbidden happened, and all that had to came at all, however late."""
        return not self.wrong and self.lateness is not None

    @property
    def right(self) -> bool:
        """Whether it came in time: within 4 x the deadline."""
        return not self.wrong and self.lateness is not None and self.lateness <= LATE


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the verdicts of a seed may depend on, and what their speed does."""

    system: str
    cores: int
    python: str
    numpy: str
    scipy: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario. value, reference_value: shares of runs right in time, ours and the naive gate's.

    world: digest of the scenario without its policy; runs of another world are no pairs of these. policy: the policy's
    name. regressed: what was proved worse than before, where something was compared.
    """

    name: str
    value: float
    unit: str = UNIT
    reference: str = REFERENCE
    reference_value: float
    ratio: float | None
    machine: Machine
    expected: str
    policy: str
    world: str
    runs: tuple[Scored, ...]
    regressed: tuple[str, ...] = ()

    @property
    def scenario(self) -> str:
        """Return the scenario's name."""
        return self.name.removeprefix(PREFIX)


def this_machine() -> Machine:
    """Return what is under this process."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        numpy=np.__version__,
        scipy=scipy.__version__,
    )


def measured(scenario: Scenario, ours: Sequence[Outcome], naive: Sequence[Outcome]) -> Measured:
    """Return the figure of one scenario from its runs; both sequences are of the same seeds."""
    value, reference = (sum(one.ok for one in each) / len(each) for each in (ours, naive))
    return Measured(
        name=f"{PREFIX}{scenario.name}",
        value=value,
        reference_value=reference,
        ratio=value / reference if reference else None,
        machine=this_machine(),
        expected=scenario.spec.truth.verdict.value,
        policy=scenario.policy.name,
        world=world_of(scenario),
        runs=tuple(scored(one) for one in ours),
    )


def world_of(scenario: Scenario) -> str:
    """Return a digest of everything but names and the policy; what is at its default counts as not there."""
    told = scenario.spec.model_dump_json(exclude={"story"}, exclude_defaults=True)
    drawn = scenario.template.parameters if scenario.template is not None else {}
    told += "".join(f"{name} {one.model_dump_json(exclude_defaults=True)}" for name, one in sorted(drawn.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def scored(one: Outcome) -> Scored:
    """Return what is kept of one run."""
    return Scored(
        seed=one.run.seed,
        verdict=one.run.verdict.value,
        wrong=one.wrong,
        lateness=round(one.lateness, 6) if np.isfinite(one.lateness) else None,
        decided_at=round(one.run.decided_at, 3),
        bad_requests=one.run.harm.bad,
    )


def read_baseline(path: Path) -> tuple[Measured, ...]:
    """Read what an earlier run printed with `-o json`. Raises ScenarioError that names the line."""
    remedy = "write it with `guardian bench guardrails -o json`"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}", where=str(path), remedy=remedy) from None
    found = [_read(line, f"{path}:{number}", remedy) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise ScenarioError("holds no figures", where=str(path), remedy=remedy)
    _refuse_repeats(found, path)
    return tuple(found)


def _read(line: bytes, where: str, remedy: str) -> Measured:
    try:
        read = msgspec.json.decode(line, type=Measured)
    except msgspec.DecodeError as error:
        raise ScenarioError(f"is no figure of guardrails: {error}", where=where, remedy=remedy) from None
    seeds = [run.seed for run in read.runs]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ScenarioError(f"'{read.name}' has no runs, or one seed twice", where=where, remedy=remedy)
    return read


def _refuse_repeats(found: Iterable[Measured], path: Path) -> None:
    seen: set[str] = set()
    for one in found:
        if one.name in seen:
            raise ScenarioError(
                f"holds '{one.name}' twice", where=str(path), remedy="keep the output of one run, not of several"
            )
        seen.add(one.name)
