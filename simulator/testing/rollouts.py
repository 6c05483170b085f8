"""`simulate_rollout`: a team's own tests of its policies against incidents, in virtual time and without services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guardian.config.units import format_duration
from guardian.core.model import Seconds, Verdict
from simulator.bound import bound
from simulator.library import find
from simulator.outcome import Outcome, Seen, Summary, summarise
from simulator.scenario import Scenario
from simulator.sweep import loaded, play

SEEDS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SimulatedRollout:
    """All seeds of one scenario under one policy. Prints as what came out, and why the first run was not right."""

    scenario: Scenario
    outcomes: tuple[Outcome, ...]
    summary: Summary

    @property
    def passed(self) -> bool:
        """Whether it comes out right as docs/scenarios says: wrong verdicts within the risk, in time."""
        return self.summary.passed

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """Return how many seeds came to each verdict."""
        return Counter(one.run.verdict for one in self.outcomes)

    @property
    def decided_at(self) -> tuple[Seconds, ...]:
        """Return when each seed was decided, in seconds after the traffic shift; a hold at the end."""
        return tuple(one.run.decided_at for one in self.outcomes)

    @property
    def bad_requests(self) -> float:
        """Return how many requests failed in a mean run."""
        return self.summary.hurt

    def __repr__(self) -> str:
        told = ", ".join(f"{verdict} {count}" for verdict, count in sorted(self.verdicts.items()))
        lines = [
            f"{self.scenario.name}: expected {self.scenario.spec.truth.verdict}; of {len(self.outcomes)} seeds: {told}"
        ]
        lines += [f"fails: {failure}" for failure in self.summary.failures]
        lines += [f"note: {self.summary.caution}"] if self.summary.caution else []
        first = next((one for one in self.outcomes if not one.ok), None)
        if first is not None:
            what = "wrong" if first.wrong else "late"
            lines.append(f"seed {first.run.seed} is {what}:")
            lines += [_told(seen) for seen in first.run.seen if seen.reason]
        return "\n".join(lines)


def _told(seen: Seen) -> str:
    what = f"{seen.event} {seen.guardrail}".strip()
    return f"  {format_duration(round(seen.at))} {what}: {seen.reason}"


def simulate_rollout(
    scenario: str | Path, *, policy: str | Path | None = None, seeds: int = SEEDS
) -> SimulatedRollout:  # fmt: skip
    """Play seeds 1 to `seeds` of a scenario, in this process.

    scenario: file, or name of a shipped one. policy: file that judges it; default: the scenario's own.
    Raises ScenarioError or PolicyError for a file that is wrong, with file, line and remedy.
    """
    if seeds < 1:
        raise ValueError(f"seeds {seeds}: at least 1 is needed")
    (file, *more) = find(str(scenario))
    if more:
        raise ValueError(f"{scenario} is a folder of {1 + len(more)} scenarios: name one file")
    other = None if policy is None else Path(policy)
    known = loaded(file, other)
    outcomes = tuple(one.guardian for one in play(file, range(1, seeds + 1), policy=other))
    return SimulatedRollout(
        scenario=known, outcomes=outcomes, summary=summarise(known, outcomes, bound=bound(known))
    )  # fmt: skip
