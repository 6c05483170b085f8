"""What a load benchmark found: figures with their limits and references, the machine, the commit, the wall time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import environment
from benchmarks.rounds import Better
from simulator.testing.run import ServiceRun, current_run

RESULTS: Final = environment.ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. limit: what is claimed of it, of the ratio where `of_ratio`; None: it is told, not claimed.

    reference, reference_value: the same work done bare, in the same run and unit.
    """

    name: str
    value: float
    unit: str
    better: Better = Better.LOWER
    limit: float | None = None
    of_ratio: bool = False
    reference: str = ""
    reference_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value over the reference's."""
        return None if not self.reference_value else self.value / self.reference_value

    @property
    def ok(self) -> bool:
        """Whether the claim holds."""
        held = self.ratio if self.of_ratio else self.value
        if self.limit is None or held is None:
            return True
        return held <= self.limit if self.better is Better.LOWER else held >= self.limit

    def as_json(self) -> dict[str, Any]:
        """The fields by name, with ratio and ok."""
        return {**asdict(self), "ratio": self.ratio, "ok": self.ok}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Figures of one run, and what else a reader wants to know."""

    figures: Sequence[Figure]
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One benchmark. claim: in a sentence. measure: runs it; `repeat` is how often, where it repeats."""

    name: str
    claim: str
    measure: Callable[[ServiceRun, int], Found]
    repeat: int = 1


def run(load: Load, *, repeat: int | None = None) -> dict[str, Any]:
    """Run a benchmark in a run of services of its own; return its result, ready for JSON."""
    began = time.monotonic()
    machine = asdict(environment.machine())
    with current_run() as services:
        found = load.measure(services, repeat or load.repeat)
    return {
        "name": load.name,
        "claim": load.claim,
        "ok": all(figure.ok for figure in found.figures),
        "figures": [figure.as_json() for figure in found.figures],
        "detail": dict(found.detail),
        "commit": asdict(environment.commit()),
        "machine": machine,
        "wall": round(time.monotonic() - began, 1),
    }


def write(result: Mapping[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write a result where results are kept; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"load-{result['name']}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return file


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values were measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
