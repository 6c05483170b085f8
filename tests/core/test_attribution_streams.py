"""Two rollouts that overlap, with real evidence: counters of two services, one of which calls the other."""

from __future__ import annotations

import pytest

from benchmarks.overlapping import Overlap, World, played, played_together
from guardian.core import records as r
from guardian.core.model import Phase
from guardian.core.world import fold

SUFFERS = World()
"""Payment's canary fails ten times as often, and checkout's with it while payment's has users."""
GUILTY = World(own=10.0, since=310.0)
"""The same, and checkout's canary fails for a reason of its own as well."""


@pytest.mark.parametrize("seed", range(6))
def test_a_dependent_that_suffers_from_its_dependency_is_not_rolled_back(seed: int) -> None:
    """Payment goes back; checkout is at most held meanwhile, and is promoted afterwards."""
    overlap = played(SUFFERS, seed=seed, lasts=2400.0)
    assert overlap.phase("payment") is Phase.ROLLED_BACK
    assert overlap.phase("checkout") in (Phase.BAKING, Phase.VERIFIED)


@pytest.mark.parametrize("seed", range(4))
def test_a_guilty_dependent_goes_back_soon_after_its_dependency(seed: int) -> None:
    """Ticks after payment is restored speak against checkout alone."""
    overlap = played(GUILTY, seed=seed, lasts=700.0)
    payment, checkout = overlap.rollout("payment"), overlap.rollout("checkout")
    assert payment is not None
    assert checkout is not None
    assert payment.phase is checkout.phase is Phase.ROLLED_BACK
    assert 0.0 < (checkout.ended_at or 0.0) - (payment.ended_at or 0.0) < 200.0


def test_pairs_in_one_engine_end_as_each_would_alone() -> None:
    """What is looked at together shares arrays, and nothing else."""
    together = played_together(SUFFERS, seeds=range(6), lasts=1300.0)
    for copy in range(6):
        alone = played(SUFFERS, seed=copy, lasts=1300.0)
        for service in ("checkout", "payment"):
            one, beside = alone.rollout(service), together.rollout(f"{service}/{copy}")
            assert one is not None
            assert beside is not None
            assert (one.phase, one.ended_at, one.promoted_at) == (beside.phase, beside.ended_at, beside.promoted_at)


def test_without_the_dependency_named_the_innocent_would_have_gone_back() -> None:
    """The counterpart: the same streams, and nobody to blame but checkout itself."""
    named, unnamed = (
        [played(SUFFERS, seed=seed, lasts=600.0, blamed=blamed).phase("checkout") for seed in range(6)]
        for blamed in (True, False)
    )
    assert named.count(Phase.ROLLED_BACK) == 0
    assert unnamed.count(Phase.ROLLED_BACK) >= 3


def test_a_bad_caller_takes_its_own_evidence_with_it() -> None:
    """Payment is healthy: what checkout does to itself excuses nothing, and is found as quickly as ever."""
    overlap = played(World(times=1.0, own=10.0, since=310.0), seed=1, lasts=420.0)
    assert overlap.phase("checkout") is Phase.ROLLED_BACK
    assert overlap.phase("payment") is Phase.PROGRESSING


def test_the_journal_of_two_overlapping_rollouts_folds_to_the_same_world() -> None:
    """Whom a rollout blames is part of the fold."""
    overlap = played(GUILTY, seed=0, lasts=500.0)
    assert fold(overlap.records) == overlap.engine.world
    assert any(isinstance(record, r.Held) and record.cause for record in overlap.records)


@pytest.mark.parametrize("cut", [330.0, 350.0, 380.0])
def test_a_restart_with_its_checkpoints_ends_the_same(cut: float) -> None:
    """Marks are kept with the evidence: the time of payment is left out once, whenever the daemon stopped."""
    ends = []
    for restarted in (False, True):
        overlap = played(SUFFERS, seed=3, lasts=cut)
        if restarted:
            again = Overlap(SUFFERS, 3, overlap.policies)
            again.take_over(overlap)
            overlap = again
        overlap.until(1300.0)
        payment, checkout = overlap.rollout("payment"), overlap.rollout("checkout")
        assert payment is not None
        assert checkout is not None
        look = overlap.engine.look(checkout.id)
        assert look is not None
        assert look.left_out in ((), (payment.id,))
        ends.append((payment.ended_at, checkout.phase, look.left_out, look.overlapping))
    assert ends[0] == ends[1]


def test_a_checkpoint_from_before_the_dependency_is_no_way_around() -> None:
    """The daemon stopped with old checkpoints: what payment did meanwhile comes as one long row, and is left out."""
    early = played(SUFFERS, seed=3, lasts=300.0)
    checkout = early.rollout("checkout")
    assert checkout is not None
    old = early.engine.checkpoint(checkout.id)
    assert old is not None
    early.until(390.0)
    again = Overlap(SUFFERS, 3, early.policies)
    again.take_over(early, {checkout.id: old})
    again.until(1500.0)
    assert again.phase("payment") is Phase.ROLLED_BACK
    assert again.phase("checkout") in (Phase.PROGRESSING, Phase.BAKING)
