"""Growing arrays of equal length, one row a thing: the memory of the fleet. No meaning of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Columns:
    """Named float64 arrays of shape (capacity, *shape), all 0 at first; rows 0..size-1 are in use."""

    __slots__ = ("_arrays", "_free", "_shapes", "size")

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)
        self._arrays = {name: np.zeros((8, *shape)) for name, shape in shapes.items()}
        self._free: list[int] = []
        self.size = 0

    def __getitem__(self, name: str) -> Floats:
        return self._arrays[name]

    def add(self) -> int:
        """Take a row, all 0, and return its number; rows given back are used again."""
        if self._free:
            return self._free.pop()
        row = self.size
        self.size += 1
        capacity = len(next(iter(self._arrays.values())))
        if self.size > capacity:
            for name, shape in self._shapes.items():
                grown = np.zeros((2 * capacity, *shape))
                grown[:capacity] = self._arrays[name]
                self._arrays[name] = grown
        return row

    def reach(self, row: int) -> None:
        """Make sure that a row is there; for columns whose rows another one numbers."""
        while self.size <= row:
            self.add()

    def clear(self, row: int) -> None:
        """Set a row to 0."""
        for array in self._arrays.values():
            array[row] = 0.0

    def give_back(self, row: int) -> None:
        """Clear a row so that it can be used again."""
        self.clear(row)
        self._free.append(row)

    def row(self, row: int) -> dict[str, Floats]:
        """Copies of one row, by column."""
        return {name: np.array(array[row]) for name, array in self._arrays.items()}

    def put(self, row: int, values: Mapping[str, Floats]) -> None:
        """Write one row as `row` gave it."""
        for name, value in values.items():
            self._arrays[name][row] = value
