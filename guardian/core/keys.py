"""Dense numbers for sparse integer keys, many at a time."""

from __future__ import annotations

import numpy as np

from analysis.sequential.base import Ints


class KeyIndex:
    """Numbers 0, 1, 2 ... in the order in which keys were first seen (within one call: by key)."""

    __slots__ = ("_keys", "_numbers")

    def __init__(self) -> None:
        self._keys = np.zeros(0, dtype=np.int64)
        self._numbers = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, keys: Ints) -> Ints:
        """Numbers of keys (n,); -1 where a key is new."""
        if not len(self._keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, self._numbers[place], -1)

    def add(self, keys: Ints) -> Ints:
        """Number keys (n,), all new and different, rising from the next free number; returns their numbers."""
        numbers = np.arange(len(self._keys), len(self._keys) + len(keys))
        merged = np.concatenate((self._keys, keys))
        order = np.argsort(merged, kind="stable")
        self._keys, self._numbers = merged[order], np.concatenate((self._numbers, numbers))[order]
        return numbers
