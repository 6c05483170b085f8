"""The daemon under load, as a process over real parts: how much it takes, how soon it answers, how soon it acts.

One file per benchmark, each exposing `LOAD`; `python -m benchmarks.load NAME` runs it and writes
benchmarks/results/load-NAME.json. Speeds of single functions are in benchmarks/speed.
"""

import importlib
import pkgutil

from benchmarks.load.report import Load

OWN = frozenset({"bare", "daemon", "journal", "posting", "produce", "recordings", "report"})
"""Modules that hold no benchmark."""


def names() -> tuple[str, ...]:
    """Names of all load benchmarks, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_") and name not in OWN))


def load(name: str) -> Load:
    """The benchmark of that name. Raises LookupError that lists the names there are."""
    if name not in names():
        raise LookupError(f"no load benchmark {name!r}; there are: {', '.join(names())}")
    found = importlib.import_module(f"{__name__}.{name}").LOAD
    if not isinstance(found, Load):
        raise TypeError(f"benchmarks/load/{name}.py: LOAD must be a Load")
    return found
