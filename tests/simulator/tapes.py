"""Simulated runs with everything that may happen to them, recorded in many small parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from guardian.adapters.tapes.folder import TapeFolder, parts_of, read
from guardian.core.differences import Comparison, compare
from guardian.core.facts import Fact
from guardian.core.fleet import Fleet
from guardian.core.model import Instant, Seconds
from guardian.core.playback import Playback, Played
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.tape import Part
from guardian.core.taping import TapedEngine, Taping
from guardian.core.world import fold
from simulator.scenario import Scenario
from tests.simulator.worlds import Whole, scenario

FAILS = [{"kind": "error_step", "share": "3%"}]
SHORT: dict[str, Any] = {"truth": {"verdict": "hold"}, "lasts": "12m"}
"""Watched to the end, whatever is decided before."""


class Recorded(Whole):
    """A run recorded in parts of some 200 kB in memory; facts from outside and crashes come when they are told to."""

    def __init__(self, script: Scenario, seed: int = 1, *, every: float = 120.0) -> None:
        super().__init__(script, seed)
        self.parts: list[Part] = []
        self._taping = Taping(keep=self.parts.append, part=200_000.0, every=Seconds(every))
        policies = Policies([script.policy])
        self.engine = self.driver.engine = TapedEngine(policies=policies, fleet=Fleet(), taping=self._taping)

    def tell(self, after: float, fact: Fact) -> None:
        """Deliver a fact so many seconds after the deploy event."""
        self.environment.process(self._deliver([(Instant(self.world.opening + after), fact)]))

    def crash(self, after: float) -> None:
        """Go on with journal and evidence as a new process does; what was not handed out of the tape is lost."""
        self.environment.process(self._crashed(after))

    def _crashed(self, after: float) -> Any:
        yield self.environment.timeout(after)
        old, world = self.engine, fold(self.driver.journal)
        engine = TapedEngine(policies=old.policies, fleet=Fleet(), taping=self._taping, world=world)
        for rollout in world.rollouts:
            blob = old.checkpoint(rollout)
            if blob is not None:
                engine.restore(rollout, blob)
        self.engine = self.driver.engine = engine
        self.driver._keys = None

    def stop(self, after: float) -> None:
        """End in good order and go on as a new process does."""
        self.environment.process(self._stopped(after))

    def _stopped(self, after: float) -> Any:
        yield self.environment.timeout(after)
        assert isinstance(self.engine, TapedEngine)
        self.engine.stop(Instant(self.environment.now))
        yield from self._crashed(0.0)

    def parts_played(self) -> Sequence[Part]:
        """Play it to its end and return its tape."""
        self.play()
        return self.parts


def healthy(**changed: Any) -> Scenario:
    """Return twelve minutes of a healthy release."""
    return scenario(**{**SHORT, **changed})


def played(parts: Iterable[Part], policy: Policy | None = None) -> Played:
    """Return what a tape of `checkout` comes to."""
    playback = Playback("checkout", "production", policy=policy)
    for part in parts:
        playback.take(part)
    return playback.finish()


def compared(parts: Iterable[Part], policy: Policy | None = None) -> tuple[Comparison, ...]:
    """Return how the rollouts of a tape of `checkout` compare."""
    return compare(played(parts, policy))


def stored(parts: Iterable[Part], folder: Path, **bounds: Any) -> list[Path]:
    """Keep parts in a folder; return the files that are there then, oldest first."""
    tapes = TapeFolder(folder, **bounds)
    for part in parts:
        tapes.keep(part)
    return [file for found in parts_of([folder]).values() for _, file in found]


def loaded(files: Iterable[Path]) -> list[Part]:
    """Return the parts in files."""
    return [read(file) for file in files]
