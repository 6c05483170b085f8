"""Campaigns whose truth is known: coins of a given share, for the tests of the runner."""

from functools import partial

import numpy as np

from benchmarks.cells import Campaign, Cell, Counts


def coin(seed: int, runs: int, *, share: float) -> Counts:
    """Throw `runs` coins that show heads with this share."""
    heads = np.random.default_rng(seed).random(runs) < share
    return Counts(runs=runs, events={"heads": int(heads.sum())}, figures={"heads": tuple(heads.astype(float))})


def cell(share: float, *, chunk: int = 500) -> Cell:
    """A coin of this share that claims heads in at most half of its throws."""
    return Cell(name=f"{share:.0%}", run=partial(coin, share=share), at_most={"heads": 0.5}, chunk=chunk)


def always_even(seed: int, runs: int) -> Counts:
    """Heads in exactly half of the throws, whatever the seed."""
    return Counts(runs=runs, events={"heads": runs // 2 + 0 * seed})


SOURCES = ("tests/benchmarks/coins.py",)
EVEN = Cell(name="even", run=always_even, at_most={"heads": 0.5})


def campaign(*shares: float, even: bool = False) -> Campaign:
    """Coins of these shares, and the even one if wanted."""
    cells = (*map(cell, shares), *((EVEN,) if even else ()))
    return Campaign(name="coins", claim="Heads at most half.", sources=SOURCES, cells=cells)
