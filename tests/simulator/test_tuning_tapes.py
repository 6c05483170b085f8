"""`guardian tune` on recorded rollouts: what a tape tells of a policy, what it does not, and what is no tape."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from guardian.adapters.tapes.folder import TapeFolder
from guardian.config.policy import parse_policy
from guardian.core.model import Verdict
from guardian.core.tape import Part
from guardian.errors import ConfigError, GuardianError, ScenarioError
from simulator.commands.tuned import plain, tape_rows
from simulator.library import judged_by, parse
from simulator.run import run
from simulator.scenario import LATE
from simulator.tuning.crew import Crew, cluster, local
from simulator.tuning.kept import Kept, kept_in
from simulator.tuning.objectives import OBJECTIVES
from simulator.tuning.study import Study, Tuning, check, header
from simulator.tuning.tapes import Replayed, Tape, read_tapes, replay
from simulator.tuning.trial import TapeTask, play
from tests.cli.daemon import guardian
from tests.simulator.tunings import BAD, POLICY, SCENARIOS, SPACE, space, terms

pytestmark = pytest.mark.timeout(300)  # runs are recorded, a cluster starts
ROLLBACK = "{verdict: rollback, within: 60s}"
_TAPE = """\
apiVersion: slo-guardian/v1
kind: Tape
metadata: {{name: {name}, title: a rollout of last week}}
spec:
  tape: {tape}
  truth: {truth}
"""


def told(folder: Path, name: str, tape: str, truth: str, more: str = "") -> Path:
    """Write what would have been right of a tape."""
    file = folder / f"{name}.yaml"
    file.write_text(_TAPE.format(name=name, tape=tape, truth=truth) + more, encoding="utf-8")
    return file


def _kept(tapes: TapeFolder) -> Callable[[Part], None]:
    def keep(part: Part) -> None:
        tapes.keep(part)

    return keep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tapes: a bad release let through by wide margins, the same caught by narrow ones, and a good release."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, scenario, text in (("let", "broken", BAD), ("caught", "broken", POLICY), ("good", "healthy", POLICY)):
        policy = parse_policy(text, file="policy")
        played = judged_by(parse(SCENARIOS[scenario], file=scenario), policy, file="policy")
        run(played, 7, keep=_kept(TapeFolder(folder / "tapes" / name)))
    (folder / "right").mkdir()
    for name, truth in (("let", ROLLBACK), ("caught", ROLLBACK), ("good", "{verdict: promote}")):
        told(folder / "right", name, f"../tapes/{name}", truth)
    return folder


@pytest.fixture(scope="module")
def tapes(folder: Path) -> dict[str, Tape]:
    """All three, read under the policy of wide margins."""
    return read_tapes([str(folder / "right")], parse_policy(BAD, file="policy.yaml"), file="policy.yaml")


def replayed(tape: Tape, policy: str) -> Replayed:
    """Return what a policy comes to on a tape."""
    return replay(tape, parse_policy(policy, file="policy"))


def study(folder: Path, tapes: Mapping[str, Tape], crew: Crew, kept: Kept | None = None) -> Study:
    """Return a search on two scenarios and some tapes."""
    asked = terms(trials=3)
    asked = type(asked)(scenarios=asked.scenarios, seeds=2, fresh=6, trials=3, budget=None, tapes=tapes)
    return Study(space(folder), asked, crew, kept or Kept({}), elapsed=lambda: 0.0)


@pytest.fixture(scope="module")
def found(tapes: dict[str, Tape], tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    """What one process finds."""
    with local(1) as crew:
        return study(tmp_path_factory.mktemp("alone"), tapes, crew).run()


def test_a_bad_release_that_was_let_through_tells_who_would_have_caught_it(tapes: dict[str, Tape]) -> None:
    """Narrow margins go back within the minute that somebody says was right; wide ones never did."""
    wide, narrow = replayed(tapes["let"], BAD), replayed(tapes["let"], POLICY)
    assert (wide.verdict, wide.wrong, wide.lateness) == (Verdict.HOLD, False, None)
    assert tapes["let"].recorded == "hold"
    assert (narrow.verdict, narrow.wrong) == (Verdict.ROLLBACK, False)
    assert narrow.lateness == pytest.approx(narrow.at / 60.0)
    assert narrow.at <= 60


def test_what_comes_after_the_recorded_traffic_is_not_known(tapes: dict[str, Tape]) -> None:
    """Wide margins had not gone back when the recording did: as late as can be, but nobody says that they missed it."""
    wide = replayed(tapes["caught"], BAD)
    assert (wide.verdict, wide.wrong, wide.lateness) == (Verdict.HOLD, False, LATE)
    assert wide.at == replayed(tapes["caught"], POLICY).at <= 60


def test_a_tape_longer_than_four_deadlines_tells_that_it_was_missed(folder: Path) -> None:
    """Until then the canary had users, and nothing happened."""
    policy = parse_policy(POLICY, file="policy")
    said = told(folder, "soon", "tapes/good", "{verdict: rollback, within: 20s}")
    found = replay(read_tapes([str(said)], policy, file="policy")["soon"], policy)
    assert (found.verdict, found.wrong, found.lateness) == (Verdict.PROMOTE, True, None)


def test_a_false_alarm_on_a_good_release_is_wrong(folder: Path) -> None:
    """A rollback is a mistake where nothing was wrong with the release."""
    said = told(folder, "slandered", "tapes/caught", "{verdict: promote}")
    policy = parse_policy(POLICY, file="policy")
    found = replay(read_tapes([str(said)], policy, file="policy")["slandered"], policy)
    assert (found.verdict, found.wrong) == (Verdict.ROLLBACK, True)


def test_a_tape_counts_in_verdicts_and_delay_only(found: Tuning, tmp_path: Path) -> None:
    """Once for each policy. Users hurt, time until promoted and pages are those of the scenarios alone."""
    with local(1) as crew:
        without = study(tmp_path, {}, crew).run()
    both = found.tried.keys() & without.tried.keys()
    assert len(both) >= 2
    for number, objective in enumerate(OBJECTIVES):
        same = all(found.tried[choice][number] == without.tried[choice][number] for choice in both)
        assert same == (objective.name in {"hurt", "promotion", "pages", "false rollbacks"})
    missed = [one.name for one in OBJECTIVES].index("missed")
    assert found.base[missed] == pytest.approx((without.base[missed] + 1.0 + 0.0) / 3)  # type: ignore[operator]


def test_two_processes_find_the_same(found: Tuning, tapes: dict[str, Tape], tmp_path: Path) -> None:
    """Bit for bit."""
    with local(2) as crew:
        assert plain(study(tmp_path, tapes, crew).run()) == plain(found)


def test_a_dask_worker_needs_no_tape_of_its_own(found: Tuning, tapes: dict[str, Tape], tmp_path: Path) -> None:
    """The tape comes with the task."""
    from distributed import LocalCluster  # noqa: PLC0415  only this test needs it

    anywhere = "127.0.0.1:0"
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=anywhere,
        worker_dashboard_address=anywhere,
    ) as dask, cluster(dask.scheduler_address) as crew:  # fmt: skip
        assert plain(study(tmp_path, tapes, crew).run()) == plain(found)


def test_replays_are_kept_and_a_changed_truth_is_another_search(tapes: dict[str, Tape], tmp_path: Path) -> None:
    """The same command again replays nothing; what was kept under another truth would be wrong."""
    counts = []
    for _ in range(2):
        with local(1) as crew:
            asked = study(tmp_path, tapes, crew)
            with kept_in(tmp_path / "state", header(asked.space, asked.terms)) as kept:
                again = study(tmp_path, tapes, crew, kept)
                again.run()
        counts.append((again.played, again.done))
    assert counts[0][0] == counts[0][1] > 0
    assert counts[1] == (0, counts[0][1])
    fewer = {name: tape for name, tape in tapes.items() if name != "good"}
    with local(1) as crew:
        asked = study(tmp_path, fewer, crew)
        with (
            pytest.raises(ConfigError, match="of another search: tapes changed"),
            kept_in(tmp_path / "state", header(asked.space, asked.terms)),
        ):
            pass


def test_no_policy_is_recommended_that_spoils_a_tape(folder: Path, tmp_path: Path) -> None:
    """Narrow margins are better on every scenario; here somebody says that what they caught was a good release."""
    said = told(folder, "slander", "tapes/let", "{verdict: promote}")
    tapes = read_tapes([str(said)], parse_policy(BAD, file="policy.yaml"), file="policy.yaml")
    with local(1) as crew:
        kept = study(tmp_path, tapes, crew).run()
    assert any(runs["slander"].wrong for runs in kept.replays.values())
    assert not kept.replays[kept.candidate]["slander"].wrong


def test_people_and_programs_are_told_of_each_tape(folder: Path) -> None:
    """In a table, in the page and in the object; with what a tape does not tell."""
    for name, text in {"policy.yaml": BAD, "space.yaml": SPACE, "broken.yaml": SCENARIOS["broken"]}.items():
        (folder / name).write_text(text, encoding="utf-8")
    asked = "tune policy.yaml --space space.yaml --scenarios broken.yaml --tapes right --trials 2 --seeds 2 --fresh 4"
    kept = ["--jobs", "1", "--state", "state"]
    answer = guardian(*asked.split(), *kept, "--report", "page.html", folder=folder)
    assert answer.code == 0, answer.err
    assert "Recorded rollouts" in answer.out
    row = r"let +rollback by 1m +hold +undecided after [\dms]+: missed +rollback after [\dms]+: right"
    assert re.search(row, answer.out)
    assert "does not tell when another policy would have promoted" in answer.out
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "<h2>On recorded rollouts</h2>" in page
    assert "<td>let</td><td>rollback by 1m</td>" in page
    answer = guardian(*asked.split(), *kept, "-o", "json", folder=folder)
    tapes: list[dict[str, Any]] = json.loads(answer.out)["tapes"]
    assert [one["tape"] for one in tapes] == ["caught", "good", "let"]
    assert tapes[2]["replays"][0] | {"at": 0} == {
        "changes": {}, "verdict": "hold", "at": 0, "wrong": False, "lateness": None,
    }  # fmt: skip


def test_a_row_says_when_it_is_not_known(found: Tuning) -> None:
    """Under the policy as it is the recorded rollback did not come."""
    caught = next(row for row in tape_rows(found) if row[0] == "caught")
    assert caught[3].endswith("when its traffic ended: not known")


def _newer(folder: Path) -> None:
    (file,) = (folder / "tapes" / "good").rglob("*.parquet")
    table = pq.read_table(file)
    (folder / "newer").mkdir(exist_ok=True)
    title = {b"slo-guardian.tape": b'{"version": 2}'}
    pq.write_table(table.replace_schema_metadata(title), folder / "newer" / "1.parquet")


@pytest.mark.parametrize(
    ("tape", "truth", "policy", "what"),
    [
        ("newer", ROLLBACK, POLICY, "is a tape of version 2; this is version 1"),
        ("absent", ROLLBACK, POLICY, "cannot be read: No such file"),
        ("tapes", ROLLBACK, POLICY, "names 3 tapes"),
        ("tapes/let", ROLLBACK, POLICY.replace("service: checkout", "service: cart"), "is a tape of 'checkout'"),
        ("tapes/let", ROLLBACK, POLICY.replace("http_requests_total{", "grpc_total{"), "has no data of 'errors'"),
        ("tapes/let", "", POLICY, "truth"),
        ("tapes/let", "{verdict: rollback}", POLICY, "says not by when it should have gone back"),
        ("tapes/let", "{verdict: promote, within: 5m}", POLICY, "does not tell when another policy"),
        ("tapes/let", "{verdict: hold}", POLICY, "rollback"),
    ],
)  # fmt: skip
def test_what_is_no_tape_is_told_before_anything_is_played(
    folder: Path, tmp_path: Path, tape: str, truth: str, policy: str, what: str
) -> None:
    """With the place of the mistake, and what to do."""
    _newer(folder)
    said = told(tmp_path, "wrong", str(folder / tape), truth)
    with pytest.raises(GuardianError, match=re.escape(what)) as caught:
        read_tapes([str(said)], parse_policy(policy, file="policy"), file="policy")
    assert caught.value.where
    assert caught.value.remedy


def test_a_revision_that_is_not_on_the_tape_is_told_with_those_there_are(folder: Path) -> None:
    """`revision` chooses among the rollouts of a longer tape."""
    policy = parse_policy(POLICY, file="policy")
    said = told(folder, "other", "tapes/let", ROLLBACK, "  revision: 9.9.9\n")
    with pytest.raises(ScenarioError, match=r"0 rollouts of revision '9.9.9' .* does: 1.1.0") as caught:
        read_tapes([str(said)], policy, file="policy")
    assert caught.value.where.startswith(str(said))
    said = told(folder, "other", "tapes/let", ROLLBACK, "  revision: 1.1.0\n")
    assert read_tapes([str(said)], policy, file="policy")["other"].recorded == "hold"


def test_a_bare_tape_and_a_name_that_is_taken_are_refused(folder: Path, tapes: dict[str, Tape], tmp_path: Path) -> None:
    """Nobody said what would have been right; and one name would stand for two worlds."""
    (file,) = (folder / "tapes" / "good").rglob("*.parquet")
    with pytest.raises(ScenarioError, match="without what would have been right"):
        read_tapes([str(file)], parse_policy(POLICY, file="policy"), file="policy")
    with local(1) as crew:
        asked = study(tmp_path, {"broken": tapes["let"]}, crew)
    with pytest.raises(ScenarioError, match="both called 'broken'"):
        check(asked.space, asked.terms)


def test_a_replay_is_work_like_any_other(tapes: dict[str, Tape]) -> None:
    """Equal tasks have equal keys and results; another policy has another key."""
    task = TapeTask(policy=POLICY, tape=tapes["let"])
    assert play(task) == play(task)
    assert task.key == TapeTask(policy=POLICY, tape=tapes["let"]).key != TapeTask(policy=BAD, tape=tapes["let"]).key
