"""`guardian bench guardrails --strict`: one seed is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from msgspec import structs

from guardian.cli.output import Output
from guardian.errors import GuardianError
from simulator.baseline import Measured, Scored, this_machine
from simulator.commands.bench import bench
from simulator.strict import worsened

RUN = Scored(seed=1, verdict="rollback", wrong=False, lateness=1.0, decided_at=60.0, bad_requests=100)


def _run(seed: int = 1, **told: Any) -> Scored:
    return structs.replace(RUN, seed=seed, **told)


def _measured(*runs: Scored, name: str = "S01", world: str = "w") -> Measured:
    return Measured(
        name=f"guardrails/{name}", value=1.0, reference_value=1.0, ratio=1.0, machine=this_machine(),
        expected="rollback", policy="p", world=world, runs=runs or (_run(),),
    )  # fmt: skip


def test_the_same_runs_are_no_worse() -> None:
    """Without any tolerance."""
    assert worsened([_measured()], [_measured()], tolerance=0.0) == ()


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (_run(verdict="promote", wrong=True), "S01, seed 1: promote is wrong, before: rollback"),
        (_run(lateness=None), "S01, seed 1: what must come never came, before: 1.00 deadlines"),
        (_run(lateness=4.5), "S01, seed 1: too late, 4.50 deadlines, before: 1.00"),
        (_run(lateness=1.2), "all scenarios together: delay x 1.20"),
        (_run(bad_requests=111), "all scenarios together: requests hurt x 1.11"),
    ],
)
def test_one_seed_that_is_worse_is_named(now: Scored, told: str) -> None:
    """A later version has no luck: the world is the same."""
    assert told in worsened([_measured()], [_measured(now)], tolerance=0.1)


@pytest.mark.parametrize("now", [_run(lateness=1.1), _run(bad_requests=110), _run(lateness=0.2, bad_requests=0)])
def test_what_is_within_the_tolerance_or_better_is_not_named(now: Scored) -> None:
    """A tenth longer, a tenth more users, or less of both."""
    assert worsened([_measured()], [_measured(now)], tolerance=0.1) == ()


def test_what_was_wrong_before_may_stay_so() -> None:
    """The baseline says how it was, not how it should be."""
    wrong = _measured(_run(verdict="promote", wrong=True, lateness=None))
    assert worsened([wrong], [wrong], tolerance=0.0) == ()


def test_harm_where_there_was_none_is_named() -> None:
    """No ratio can say it."""
    before = _measured(_run(bad_requests=0))
    assert worsened([before], [_measured()], tolerance=0.1) == ("all scenarios together: requests hurt from none",)


def test_what_is_in_one_run_only_is_named() -> None:
    """A scenario that is gone, new or changed, and a seed: each would else be a way around the baseline."""
    before = [_measured(name="gone"), _measured(name="other"), _measured(_run(1), _run(2), name="fewer")]
    after = [_measured(name="new"), _measured(name="other", world="v"), _measured(_run(1), name="fewer")]
    assert worsened(before, after, tolerance=0.1) == (
        "gone is not in this run",
        "new is not in the baseline",
        "other has changed since the baseline was made",
        "fewer: not in both runs: seed 2",
    )


def test_the_command_fails_on_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One seed proves nothing by chance; strictly it is enough, and its name is told."""
    file, worse = tmp_path / "baseline.json", tmp_path / "better.json"
    bench("guardrails", scenarios=["S01"], seeds=1, jobs=1, output=Output.JSON)
    line = capsys.readouterr().out
    file.write_text(line, encoding="utf-8")
    with pytest.raises(typer.Exit) as passed:
        bench("guardrails", scenarios=["S01"], seeds=1, jobs=1, compare=file, strict=True)
    worse.write_text(line.replace('"lateness":', '"lateness":0.01,"was":'), encoding="utf-8")
    with pytest.raises(typer.Exit) as failed:
        bench("guardrails", scenarios=["S01"], seeds=1, jobs=1, compare=worse, strict=True)
    assert (passed.value.exit_code, failed.value.exit_code) == (0, 3)
    assert "regressed: all scenarios together: delay x" in capsys.readouterr().err


def test_strict_needs_a_baseline() -> None:
    """Told before anything runs."""
    with pytest.raises(GuardianError, match="compares with nothing") as raised:
        bench("guardrails", scenarios=["S01"], strict=True)
    assert raised.value.remedy == "name a baseline: --compare FILE"


def test_policy_and_machine_are_not_compared() -> None:
    """Two policies may be held against each other, and two machines."""
    other = structs.replace(_measured(), policy="q", machine=structs.replace(this_machine(), cores=99))
    assert worsened([_measured()], [other], tolerance=0.0) == ()
