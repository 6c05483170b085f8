"""One file per bench, each exposing `BENCH`; see CONTRIBUTING.md for how to add one.

Finds benches by name and does not run them. File `ratio_kernel.py` holds the bench `ratio-kernel`.
"""

import importlib
import pkgutil

from benchmarks.rounds import Bench


def names() -> tuple[str, ...]:
    """Names of all benches, sorted."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Bench:
    """The bench of that name. Raises LookupError that lists the names there are."""
    if name not in names():
        raise LookupError(f"no bench {name!r}; there are: {', '.join(names())}")
    bench = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").BENCH
    if not isinstance(bench, Bench) or bench.name != name:
        raise LookupError(f"benchmarks/speed/{name.replace('-', '_')}.py: BENCH must be a Bench named {name!r}")
    return bench
