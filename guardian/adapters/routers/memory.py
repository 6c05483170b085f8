"""A router in memory: what was set is what is accepted. For runs without a platform, and to try policies."""

from __future__ import annotations

from guardian.core.model import Place, Ratio, Share, Weight
from guardian.ports import Target


class MemoryRouter:
    """Keeps one weight per place. `serve` tells it what requests went where."""

    def __init__(self) -> None:
        self.weights: dict[Place, Weight] = {}
        self._served: dict[Place, list[float]] = {}

    def serve(self, place: Place, *, stable: float, canary: float) -> None:
        """Count requests that each track served."""
        served = self._served.setdefault(place, [0.0, 0.0])
        served[0] += stable
        served[1] += canary

    async def set_weight(self, target: Target, weight: Weight) -> None:
        """Set the weight; the count of served requests begins anew when it changes. See Router."""
        if self.weights.get(target.place, 0.0) != weight:
            self._served.pop(target.place, None)
        self.weights[target.place] = weight

    async def accepted_weight(self, target: Target) -> Weight:
        """Return the weight set last, 0 before."""
        return self.weights.get(target.place, Weight(0.0))

    async def observed_share(self, target: Target) -> Share | None:
        """Return the share of the requests counted since the last change; None when there were none."""
        stable, canary = self._served.get(target.place, (0.0, 0.0))
        if stable + canary == 0.0:
            return None
        return Share(share=Ratio(canary / (stable + canary)), requests=stable + canary)
