"""When an error budget is used up too fast: the pairs of windows that say so, and at which burn rate.

Burn rate 1 uses a period's budget up exactly at its end. Numbers only, no arrays: the test on counts is
sequential/burn.py.

Source: Beyer, Murphy, Rensin, Kawahara and Thorne 2018, The Site Reliability Workbook, chapter 5, approach 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MONTH: Final = 30.0 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two windows in seconds, and the share of the period's budget that the long one may use up."""

    long: float
    short: float
    budget: float

    def limit(self, period: float) -> float:
        """Burn rate of both windows from which on the pair says "too fast"; period: seconds the budget is for.

        Never below 1: what keeps its objective is no trouble, however short the period.

        >>> round(PAGE_FAST.limit(MONTH), 6), TICKET.limit(MONTH), TICKET.limit(7 * 86400.0)
        (14.4, 1.0, 1.0)
        """
        return max(self.budget * period / self.long, 1.0)


PAGE_FAST: Final = Pair(long=3600.0, short=300.0, budget=0.02)
PAGE_SLOW: Final = Pair(long=21600.0, short=1800.0, budget=0.05)
TICKET: Final = Pair(long=259200.0, short=21600.0, budget=0.10)
PAGES: Final = (PAGE_FAST, PAGE_SLOW)
"""Pairs for which a person is called."""
PAIRS: Final = (*PAGES, TICKET)
"""The workbook's pairs; over 30 days their burn rates are 14.4, 6 and 1."""
