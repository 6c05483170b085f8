"""Which policies are tried next: neighbours of the best so far, mixtures of two good ones, and some at random.

A local search for several objectives at once: combinations are few and differ in one knob or two, runs are dear, and
what a knob does alone has to be measured anyway. The same history gives the same proposals. Plays nothing.

Source: Pareto local search: Paquete, Chiarandini and Stützle 2004, Metaheuristics for Multiobjective Optimisation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from simulator.tuning.objectives import Figures, front, score, wrong_more
from simulator.tuning.space import Choice, Space

BATCH: Final = 4
"""Candidates proposed at a time, whatever the number of processes: what is tried must not depend on it."""
ATTEMPTS: Final = 200
"""Draws of a mixture, or of chance in a space too large to list, before it is given up."""
LISTED: Final = 20_000
"""Combinations up to which chance takes each once: a small space is tried to its end."""


class Search:
    """Proposes choices of a space; `skipped` counts, by reason, those that are no policy."""

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        self.space, self.seed = space, seed
        self.skipped: Counter[str] = Counter()
        self._problems: dict[Choice, str | None] = {}

    def next(self, tried: Mapping[Choice, Figures]) -> list[Choice]:
        """Return up to BATCH choices that were not tried, best guesses first; none when the space is exhausted.

        tried: figures by choice in the order they were tried, the policy itself first.
        """
        chance = np.random.default_rng([self.seed, len(tried)])
        ranked = self.ranked(tried)
        found: list[Choice] = []
        for source in (
            self._first(self._near(ranked, chance), BATCH - 1, tried, found),
            self._first(self._mixed(ranked, chance), 1, tried, found),
            self._first(self._near(ranked, chance), BATCH, tried, found),
            self._first(self._anywhere(chance), BATCH, tried, found),
        ):
            found += source
        return found[:BATCH]

    def ranked(self, tried: Mapping[Choice, Figures]) -> list[Choice]:
        """Return the Pareto front: those with no more wrong verdicts than the base first, then by their score."""
        choices, all_figures = list(tried), list(tried.values())
        base = all_figures[0]
        best = [(choices[number], all_figures[number]) for number in front(all_figures)]
        best.sort(key=lambda one: (wrong_more(one[1], base), score(one[1], base)))
        return [choice for choice, _ in best]

    def usable(self, choice: Choice) -> bool:
        """Whether a choice is a policy; one that is not is counted once."""
        if choice not in self._problems:
            self._problems[choice] = problem = self.space.problem(choice)
            if problem is not None:
                self.skipped[problem] += 1
        return self._problems[choice] is None

    def neighbours(self, choice: Choice) -> list[Choice]:
        """Return all policies that differ from one in one knob."""
        near = [
            (*choice[:number], level, *choice[number + 1 :])
            for number, knob in enumerate(self.space.knobs)
            for level in range(1 + len(knob.others))
            if level != choice[number]
        ]
        return [one for one in near if self.usable(one)]

    def _first(
        self, source: Iterator[Choice], count: int, tried: Mapping[Choice, Figures], found: list[Choice]
    ) -> list[Choice]:
        """Return the first usable ones of a source that are new."""
        new: list[Choice] = []
        for choice in source:
            if len(new) == count:
                break
            if choice not in tried and choice not in found and choice not in new and self.usable(choice):
                new.append(choice)
        return new

    def _near(self, ranked: list[Choice], chance: np.random.Generator) -> Iterator[Choice]:
        for choice in ranked:
            near = self.neighbours(choice)
            yield from (near[number] for number in chance.permutation(len(near)))

    def _mixed(self, ranked: list[Choice], chance: np.random.Generator) -> Iterator[Choice]:
        """Yield children of two of the front: each knob from one of them."""
        for _ in range(ATTEMPTS if len(ranked) > 1 else 0):
            one, other = (ranked[number] for number in chance.choice(len(ranked), size=2, replace=False))
            takes = chance.random(len(one)) < 0.5
            yield tuple(a if take else b for a, b, take in zip(one, other, takes, strict=True))

    def _anywhere(self, chance: np.random.Generator) -> Iterator[Choice]:
        levels = tuple(1 + len(knob.others) for knob in self.space.knobs)
        if self.space.size <= LISTED:
            for number in chance.permutation(self.space.size):
                yield tuple(int(level) for level in np.unravel_index(number, levels))
            return
        for _ in range(ATTEMPTS):
            yield tuple(int(level) for level in chance.integers(levels))
