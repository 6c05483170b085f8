"""The command that runs a campaign: what it writes, how it goes on after a stop, what it answers with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import campaign, campaigns, environment
from benchmarks.campaign_result import summary
from benchmarks.campaign_state import Chunk, Header, State
from benchmarks.cells import Campaign, Counts
from tests.benchmarks import coins

Place = Callable[[Campaign], Path]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Make one campaign the one that is found, with results and state in an empty folder."""

    def use(chosen: Campaign) -> Path:
        monkeypatch.setattr(campaigns, "load", lambda _: chosen)
        monkeypatch.setattr(campaign, "RESULTS", tmp_path / "results")
        monkeypatch.setattr(campaign, "STATES", tmp_path / "states")
        return tmp_path

    return use


def written(folder: Path) -> dict[str, Any]:
    """The result file."""
    result: dict[str, Any] = json.loads((folder / "results" / "coins.json").read_text())
    return result


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        (coins.campaign(0.3), 0),
        (coins.campaign(0.3, 0.6, even=True), 3),
        (coins.campaign(0.3, even=True), 4),
    ],
    ids=["accepted", "rejected", "undecided"],
)
def test_the_exit_code_is_the_worst_cell(place: Place, chosen: Campaign, code: int) -> None:
    """0 all accepted, 3 one rejected, 4 one undecided: the codes of the product."""
    place(chosen)
    assert campaign.main(["coins", "--seed", "1", "--jobs", "0"]) == code


def test_the_result_says_what_it_rests_on(place: Place) -> None:
    """A figure without commit, seed and machine cannot be checked by anybody."""
    folder = place(coins.campaign(0.3))
    campaign.main(["coins", "--jobs", "2"])
    result = written(folder)
    assert result["commit"] == environment.commit().hash
    assert result["seed"] == int(result["commit"][:15], 16)
    assert result["machine"]["cores"] >= 1
    assert [(cell["name"], cell["runs"]) for cell in result["cells"]] == [("30%", 2_000)]


def test_the_state_is_gone_once_the_result_is_written(place: Place) -> None:
    """A second full run is a new run."""
    folder = place(coins.campaign(0.3))
    campaign.main(["coins", "--seed", "1", "--jobs", "0"])
    assert list((folder / "states").iterdir()) == []


def test_a_stopped_campaign_goes_on_with_its_seed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Chunks of the earlier session are used, even when a new commit would give another seed."""
    chosen = coins.campaign(0.3)
    folder = place(chosen)
    header = Header(name="coins", sources=environment.digest(chosen.sources), commit="abc", dirty=False, seed=7)
    state = State.open(folder / "states" / "coins.jsonl", header, keep_seed=False)
    heads_only = Counts(runs=500, events={"heads": 500})
    for index in range(4):
        state.append(Chunk(cell="30%", index=index, counts=heads_only, session=0, elapsed=10.0))
    assert campaign.main(["coins", "--jobs", "0"]) == 3
    assert "going on with what 1 earlier session(s) left" in capsys.readouterr().err
    assert (written(folder)["seed"], written(folder)["wall_seconds"]) == (7, pytest.approx(10.0, abs=5))


def test_changed_sources_start_afresh(tmp_path: Path) -> None:
    """Counts of other code are no counts of this one."""
    old = Header(name="coins", sources="old", commit="abc", dirty=False, seed=7)
    new = Header(name="coins", sources="new", commit="def", dirty=False, seed=8)
    State.open(tmp_path / "state", old, keep_seed=False).append(
        Chunk(cell="30%", index=0, counts=Counts(runs=1, events={}), session=0, elapsed=1.0)
    )
    state = State.open(tmp_path / "state", new, keep_seed=False)
    assert (state.header, state.chunks()) == (new, ())


def test_a_chunk_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    """What follows a half line is still read."""
    header = Header(name="coins", sources="s", commit="abc", dirty=False, seed=7)
    state = State.open(tmp_path / "state", header, keep_seed=False)
    counts = Counts(runs=2, events={"heads": 1}, figures={"s": (1.0, float("inf"))})
    with state.path.open("a") as file:
        file.write('{"cell": "30%", "ind')
    state.append(Chunk(cell="30%", index=1, counts=counts, session=1, elapsed=1.0))
    assert [(chunk.index, chunk.counts) for chunk in state.chunks()] == [(1, counts)]


def test_one_cell_alone_writes_no_result(place: Place) -> None:
    """A part must not replace the whole."""
    folder = place(coins.campaign(0.3, 0.6))
    assert campaign.main(["coins", "--cell", "30%", "--jobs", "0"]) == 0
    assert not (folder / "results").exists()


def test_the_slice_fails_on_rejection_only(place: Place) -> None:
    """With few runs much stays undecided, and that is no failure."""
    place(coins.campaign(0.3, even=True))
    undecided = campaign.main(["coins", "--slice"])
    place(coins.campaign(0.7))
    assert (undecided, campaign.main(["coins", "--slice"])) == (0, 3)


def test_an_unknown_campaign_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The names there are stand in the answer."""
    assert campaign.main(["no-such"]) == 2
    assert "no campaign 'no-such'; there are: " in capsys.readouterr().err


def test_the_slice_takes_no_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """No seed is chosen: a slice with a lucky one would show nothing."""
    with pytest.raises(SystemExit, match="2"):
        campaign.main(["rule", "--slice", "--seed", "3"])
    assert "the slice has one fixed seed" in capsys.readouterr().err


def test_a_miss_counts_as_infinite_in_a_median() -> None:
    """Leaving misses out would make a test that misses look fast."""
    inf = float("inf")
    assert summary((1.0, 2.0, inf, inf, inf)) == {
        "values": 5,
        "infinite": 3,
        "p10": 1.0,
        "median": None,
        "p90": None,
    }


def test_the_machine_is_described_without_names_of_it() -> None:
    """Results are published; host, user and folder names are nobody's business."""
    described = str(environment.machine())
    assert "/" not in described.replace(environment.machine().cpu, "")
