"""Gates of other kinds, on the same seeds as the guardian; a new one is a file here and a line in GATES."""

from collections.abc import Callable, Mapping
from typing import Final

from simulator.gates.argo import Argo
from simulator.gates.base import Gate
from simulator.gates.flagger import Flagger
from simulator.gates.kayenta import Kayenta
from simulator.gates.naive import Naive

_ALL: Final = (Naive, Argo, Flagger, Kayenta)
GATES: Final[Mapping[str, Callable[[], Gate]]] = {gate.name: gate for gate in _ALL}
"""Name -> a fresh gate, for one run."""
SAYS: Final[Mapping[str, str]] = {gate.name: gate.says for gate in _ALL}
"""Name -> its thresholds."""

__all__ = ["GATES", "SAYS", "Argo", "Flagger", "Gate", "Kayenta", "Naive"]
