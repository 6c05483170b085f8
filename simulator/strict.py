"""Is any seed worse than it was? For runs that must not change at all: the same worlds, seeds and pinned packages.

Without chance no proof is asked: one verdict that was right and is wrong now is enough. What may differ by chance, such
as two policies, is compared by regress.py. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from simulator.baseline import Measured, Scored

HAIR: Final = 1e-9
"""Part by which sums of the same numbers may differ."""
Pair = tuple[Scored, Scored]


def worsened(before: Sequence[Measured], after: Sequence[Measured], *, tolerance: float) -> tuple[str, ...]:
    """Return what got worse, a sentence each; empty where every seed of both is in both, and none of them is worse.

    tolerance: the delays of all runs together, and the requests they hurt, up to 1 + tolerance times those before are
    not worse.
    """
    old, new = ({one.name: one for one in each} for each in (before, after))
    alone = [f"{one.scenario} is not in this run" for one in before if one.name not in new]
    alone += [f"{one.scenario} is not in the baseline" for one in after if one.name not in old]
    both = [(old[one.name], one) for one in after if one.name in old]
    told = [sentence for was, now in both for sentence in _scenario(was, now)]
    pairs = [pair for was, now in both for pair in _pairs(was, now)]
    return (*alone, *told, *_totals(pairs, tolerance))


def _pairs(was: Measured, now: Measured) -> list[Pair]:
    """Return both runs of each seed that both have; none where the world changed."""
    known: Mapping[int, Scored] = {run.seed: run for run in was.runs}
    return [(known[run.seed], run) for run in now.runs if run.seed in known and was.world == now.world]


def _scenario(was: Measured, now: Measured) -> Iterator[str]:
    """Yield what is worse in one scenario."""
    if was.world != now.world:
        yield f"{now.scenario} has changed since the baseline was made"
        return
    if lonely := {run.seed for run in was.runs} ^ {run.seed for run in now.runs}:
        yield f"{now.scenario}: not in both runs: seed {', '.join(map(str, sorted(lonely)))}"
    yield from (f"{now.scenario}, {sentence}" for sentence in worse_seeds(was, now))


def worse_seeds(was: Measured, now: Measured) -> Iterator[str]:
    """Yield what became of each seed that was right, or came at least, and is worse now."""
    for old, new in _pairs(was, now):
        if new.wrong and not old.wrong:
            yield f"seed {new.seed}: {new.verdict} is wrong, before: {old.verdict}"
        elif old.came and not new.came:
            yield f"seed {new.seed}: what must come never came, before: {old.lateness:.2f} deadlines"
        elif old.right and not new.right:
            yield f"seed {new.seed}: too late, {new.lateness:.2f} deadlines, before: {old.lateness:.2f}"


def _totals(pairs: Sequence[Pair], tolerance: float) -> Iterator[str]:
    """Yield what is worse over all runs; delays of those that came in both."""
    came = [(old.lateness or 0.0, new.lateness or 0.0) for old, new in pairs if old.came and new.came]
    hurt = [(float(old.bad_requests), float(new.bad_requests)) for old, new in pairs]
    for what, values in (("delay", came), ("requests hurt", hurt)):
        old, new = (sum(each) for each in zip(*values, strict=True)) if values else (0.0, 0.0)
        if new > (1.0 + tolerance) * old * (1.0 + HAIR):
            yield (
                f"all scenarios together: {what} x {new / old:.2f}"
                if old
                else f"all scenarios together: {what} from none"
            )
