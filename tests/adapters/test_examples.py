"""Examples in the docstrings of adapters show what happens."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["_series", "routers.haproxy", "routers.istio"])
def test_examples_hold(module: str) -> None:
    """A reader trusts them more than the sentence before."""
    results = doctest.testmod(importlib.import_module(f"guardian.adapters.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
