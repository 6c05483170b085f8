"""The strategies a policy may name: one file each, one line here."""

from __future__ import annotations

from typing import Final

from guardian.core.strategies.canary import Canary
from guardian.core.strategies.step import Approval, Step

Strategy = Canary
STRATEGIES: Final[dict[str, type[Canary]]] = {"canary": Canary}

__all__ = ["STRATEGIES", "Approval", "Canary", "Step", "Strategy"]
