"""The daemon asks the workload at every look who can serve; what it cannot tell changes nothing."""

from __future__ import annotations

from guardian.adapters.journal.memory import MemoryJournal
from guardian.adapters.workloads.memory import MemoryWorkload
from guardian.core.model import Phase, Track
from guardian.core.records import Why
from guardian.core.rollout import Rollout
from guardian.errors import Unavailable
from guardian.ports import Target
from guardian.runtime.equipment import Equipment
from tests.builders import PLACE
from tests.runtime.stage import STABLE, Stage, only, phase, until


class Pods(MemoryWorkload):
    """A workload that says how many pods are ready. away: it does not answer."""

    def __init__(self, *, canary: int, away: bool = False) -> None:
        super().__init__({PLACE: STABLE})
        self._canary, self._away = canary, away
        self.asked: list[Track] = []

    async def ready(self, target: Target, track: Track) -> int:
        """Return how many are ready; stable always has three. See Readiness."""
        self.asked.append(track)
        if self._away:
            raise Unavailable("the platform is away")
        return self._canary if track is Track.CANARY else 3


def over(pods: Pods) -> Stage:
    """Return a stage with this workload."""
    stage = Stage(journal=MemoryJournal(), workload=pods)

    def equip(rollout: Rollout) -> Equipment:
        ports = stage.ports(rollout)
        return Equipment(
            router=ports.router,
            workload=ports.workload,
            inspection=ports.inspection,
            readiness=(pods, Target(place=rollout.place, options={})),
        )

    stage.equip = equip
    return stage


async def test_a_canary_without_a_ready_pod_goes_back() -> None:
    """Its metrics are those of a healthy one."""
    stage = over(Pods(canary=0))
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK)
        assert only(daemon).ended_why is Why.READINESS
    assert stage.router.history == [0.1, 0.0]


async def test_a_platform_that_cannot_tell_keeps_nothing_back() -> None:
    """Neither weights nor the plan; stable is asked about only where the canary has nobody."""
    for pods in (Pods(canary=2), Pods(canary=2, away=True)):
        stage = over(pods)
        async with stage.running() as daemon:
            stage.deploy()
            await until(lambda: phase(daemon) is Phase.VERIFIED)
        assert set(pods.asked) == {Track.CANARY}
