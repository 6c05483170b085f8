"""How the outcome of a campaign is told: to a machine (the result file) and to a person (one line a cell).

It concludes nothing of its own; the rule is in benchmarks/cells.py.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks import environment
from benchmarks.campaign_state import Header
from benchmarks.cells import Campaign, Cell, Counts, JudgedClaim, Standing, overall

Json = dict[str, Any]


def campaign_result(campaign: Campaign, header: Header, cells: Sequence[Json], *, wall_seconds: float) -> Json:
    """The content of a result file. wall_seconds: of all sessions together."""
    return {
        "name": campaign.name,
        "claim": campaign.claim,
        "standing": worst(cell["standing"] for cell in cells),
        "commit": header.commit,
        "dirty": header.dirty,
        "seed": header.seed,
        "machine": asdict(environment.machine()),
        "wall_seconds": round(wall_seconds, 1),
        "cells": list(cells),
    }


def cell_result(cell: Cell, counts: Counts, claims: tuple[JudgedClaim, ...]) -> Json:
    """One cell as it stands in the result file."""
    return {
        "name": cell.name,
        "runs": counts.runs,
        "standing": overall(claims),
        "claims": [asdict(claim) for claim in claims],
        "events": dict(counts.events),
        "figures": {name: summary(values) for name, values in counts.figures.items()},
    }


def summary(values: Sequence[float]) -> Json:
    """Spread of one figure over the runs, not interpolated; null stands for infinite or for no value."""
    shown: Json = {"values": len(values), "infinite": sum(map(math.isinf, values))}
    for name, share in (("p10", 0.1), ("median", 0.5), ("p90", 0.9)):
        value = float(np.quantile(values, share, method="inverted_cdf")) if values else math.nan
        shown[name] = value if math.isfinite(value) else None
    return shown


def worst(standings: Iterable[Standing]) -> Standing:
    """Rejected when one is; accepted when all are."""
    seen = set(standings)
    if Standing.REJECTED in seen:
        return Standing.REJECTED
    return Standing.ACCEPTED if seen == {Standing.ACCEPTED} else Standing.UNDECIDED


def sentence(cell: Cell, claims: tuple[JudgedClaim, ...]) -> str:
    """One line a person reads."""
    shares = "; ".join(
        f"{claim.event} {claim.count}/{claim.runs}, {claim.lower:.2%} to {claim.upper:.2%}"
        f" (allowed {claim.allowed:.2%})"
        for claim in claims
    )
    return f"{overall(claims):<9}  {cell.name}: {shares}"
