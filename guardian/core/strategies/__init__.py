"""The strategies a policy may name: one file each, one line here."""

from __future__ import annotations

from typing import Final

from guardian.core.strategies.blue_green import BlueGreen
from guardian.core.strategies.canary import Canary
from guardian.core.strategies.step import Approval, Step

Strategy = Canary | BlueGreen
STRATEGIES: Final[dict[str, type[Strategy]]] = {"canary": Canary, "blue-green": BlueGreen}

__all__ = ["STRATEGIES", "Approval", "BlueGreen", "Canary", "Step", "Strategy"]
