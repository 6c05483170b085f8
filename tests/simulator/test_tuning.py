"""A search for a better policy: the same answer whoever plays it, and an answer that fresh seeds bear out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tuning.search import dask_workers
from guardian.errors import GuardianError, SimulationError
from simulator.commands.tuned import plain
from simulator.tuning.crew import cluster, local, made_with, play_as
from simulator.tuning.kept import kept_in
from simulator.tuning.study import header
from simulator.tuning.trial import Task, play
from tests.simulator.tunings import BAD, POLICY, SCENARIOS, SPACE, space, study, terms

pytestmark = pytest.mark.timeout(300)  # processes and a cluster start, and are killed
ROLLBACK = "spec.guardrails[errors].compare.rollback.relative"
TASKS = [Task(policy=POLICY, scenario=text, seeds=(seed,)) for seed in (1, 2, 3) for text in SCENARIOS.values()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process finds, starting from bad margins."""
    with local(1) as crew:
        return plain(study(space(tmp_path_factory.mktemp("alone")), crew).run())


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A Dask cluster of two worker processes on this machine."""
    with dask_workers(2) as address:
        yield address


def test_bad_margins_are_mended(alone: dict[str, Any]) -> None:
    """A tenfold error ratio was within the margin; fresh seeds prove that it no longer is."""
    assert alone["recommended"][ROLLBACK] in {1.05, 3}
    better = {one["objective"] for one in alone["confirmation"]["differences"] if one["better"]}
    assert "delay" in better
    assert not any(one["worse"] for one in alone["confirmation"]["differences"])
    assert "-      compare: {rollback: {relative: 10, absolute: 0.005%}" in alone["patch"]


def test_what_was_chosen_is_proved_on_seeds_that_did_not_choose_it(alone: dict[str, Any]) -> None:
    """Else the best of many would look better than it is."""
    assert alone["confirmation"]["first_seed"] > 1_000_000
    assert alone["confirmation"]["holds"]


def test_each_knob_is_moved_alone(alone: dict[str, Any]) -> None:
    """Every value that the recommended policy does not have, once."""
    moved = {(one["place"], one["value"]) for one in alone["sensitivity"]}
    recommended = {ROLLBACK: 10, "spec.strategy.steps[0].weight": "20%"} | alone["recommended"]
    every: set[tuple[str, float | str]] = {(ROLLBACK, value) for value in (1.05, 3, 10)}
    every |= {("spec.strategy.steps[0].weight", value) for value in ("10%", "20%")}
    assert moved == every - set(recommended.items())
    assert all(one["figures"] is not None for one in alone["sensitivity"])


def test_a_good_policy_is_kept(tmp_path: Path) -> None:
    """Wider margins are worse, and the answer is no patch."""
    written = SPACE.replace("    spec.strategy.steps[0].weight: [10%, 20%]\n", "")
    with local(1) as crew:
        found = plain(study(space(tmp_path, POLICY, written), crew).run())
    assert found["answer"] == "Keep it: nothing that was tried is better."
    assert (found["recommended"], found["patch"], found["confirmation"]) == ({}, "", None)
    assert found["stopped"] == "all 2 other policies of the space were tried"


def test_two_processes_find_the_same(alone: dict[str, Any], tmp_path: Path) -> None:
    """Bit for bit: what is tried depends on figures only."""
    with local(2) as crew:
        assert plain(study(space(tmp_path), crew).run()) == alone


def test_two_dask_workers_find_the_same(alone: dict[str, Any], tmp_path: Path, scheduler: str) -> None:
    """Tasks are text: a worker needs no file of ours."""
    with cluster(scheduler) as crew:
        assert plain(study(space(tmp_path), crew).run()) == alone


def test_a_killed_search_goes_on_where_it_was(alone: dict[str, Any], tmp_path: Path) -> None:
    """SIGKILL after the third task; nothing that was kept is played again, and the answer is the same."""
    for name, text in {
        "policy.yaml": BAD,
        "space.yaml": SPACE,
        **{f"s/{n}.yaml": t for n, t in SCENARIOS.items()},
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    state = tmp_path / "state.jsonl"
    command = "tune policy.yaml --space space.yaml --scenarios s --trials 3 --seeds 2 --fresh 6 --jobs 2 --state"
    killed = subprocess.Popen([sys.executable, "-m", "guardian", *command.split(), str(state)], cwd=tmp_path)
    while killed.poll() is None and lines_of(state) < 4:
        time.sleep(0.005)
    workers = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text(encoding="ascii").split()
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert len(workers) >= 2
    while any(lives(worker) for worker in workers):  # else the test's time limit says so
        time.sleep(0.01)
    before = lines_of(state) - 1
    with state.open("ab") as file:
        file.write(b'{"key": "torn')
    searched = space(tmp_path)
    with local(1) as crew, kept_in(state, header(searched, terms())) as kept:
        resumed = study(searched, crew, kept)
        assert plain(resumed.run()) == alone
    assert (before >= 3, resumed.played) == (True, resumed.done - before)


def test_a_search_that_was_done_plays_nothing(tmp_path: Path) -> None:
    """The same command again only reads."""
    searched, played = space(tmp_path), []
    for _ in range(2):
        with local(1) as crew, kept_in(tmp_path / "state.jsonl", header(searched, terms())) as kept:
            again = study(searched, crew, kept, trials=1, seeds=2, fresh=2)
            again.run()
            played.append(again.played)
    assert (played[0] > 0, played[1]) == (True, 0)


def test_a_budget_ends_the_search_between_batches(tmp_path: Path) -> None:
    """And the answer says how far it came."""
    with local(1) as crew:
        searching = study(space(tmp_path), crew, seeds=2, fresh=2, trials=None, budget=1)
        found = plain(searching.run())
    assert found["stopped"] == "the budget of time ended after 0 policies"
    assert "not tried" in found["not_looked_at"][0]


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Its tasks are given to others."""
    with local(2) as crew:
        playing = crew.play(TASKS)
        found = dict([next(playing)])
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        found.update(playing)
    assert [found[number] for number in range(len(TASKS))] == [play(task) for task in TASKS]


def test_a_worker_that_is_killed_loses_nothing(scheduler: str) -> None:
    """Dask gives its tasks to another one."""
    with cluster(scheduler) as crew:
        playing = crew.play(TASKS)
        found = dict([next(playing)])
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        found.update(playing)
    assert [found[number] for number in range(len(TASKS))] == [play(task) for task in TASKS]


def test_a_worker_of_another_version_is_refused() -> None:
    """Its seeds would be other ones."""
    assert play_as(TASKS[0], made_with()) == play(TASKS[0])
    with pytest.raises(SimulationError, match="install the same"):
        play_as(TASKS[0], "slo-guardian 0.0.1")


def test_no_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to start."""
    monkeypatch.setattr("simulator.tuning.crew.PATIENCE", 0.2)
    with pytest.raises(GuardianError, match="dask scheduler"), cluster("tcp://127.0.0.1:1"):
        pass


def test_a_cluster_without_dask_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: most have no cluster."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GuardianError, match=r"slo-guardian\[cluster\]"), cluster("tcp://127.0.0.1:1"):
        pass


def lives(pid: str) -> bool:
    """Whether a process is there, and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def lines_of(file: Path) -> int:
    """Whole lines of a file that may not be there yet."""
    return file.read_bytes().count(b"\n") if file.exists() else 0
