"""What may change in a policy, how a change is written, and what is said of a space that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardian.config.policy import parse_policy
from guardian.errors import ConfigError, GuardianError
from simulator.commands.tune import tune
from simulator.library import load
from simulator.tuning.edit import edited, keys_of, patch, put
from simulator.tuning.kept import Header, Kept, kept_in
from simulator.tuning.objectives import beats, front, score, wrong_more
from simulator.tuning.search import BATCH, Search
from simulator.tuning.space import read_space, space_around
from simulator.tuning.study import Terms, check
from tests.simulator.tunings import POLICY, SCENARIOS, SPACE, space

HEADER = Header(policy="p", space="s", scenarios="x", made_with="v")


def test_only_the_value_changes_in_a_policy() -> None:
    """Comments, order and spacing stay: a patch of one line for each change."""
    data = {"spec": {"guardrails": [{"name": "errors"}]}}
    assert keys_of("spec.guardrails[errors].compare", data) == ("spec", "guardrails", 0, "compare")
    after = edited(POLICY, {("spec", "risk", "earliest_promotion"): "7m"}, file="p.yaml")
    assert after == POLICY.replace("earliest_promotion: 4m", "earliest_promotion: 7m")
    assert patch(POLICY, after, file="p.yaml").count("\n+ ") == 1


def test_what_is_absent_is_written() -> None:
    """Into a flow mapping, a block mapping, and a mapping that is absent itself."""
    places = [("spec", "strategy", "steps", 0, "limit"), ("spec", "hold_back"), ("spec", "attribution", "limit")]
    after = edited(POLICY, dict.fromkeys(places, "9m"), file="p.yaml")
    assert "steps: [{limit: 9m, weight: 20%" in after
    assert "\n  hold_back: 9m\n" in after
    assert "\n  attribution: {limit: 9m}\n" in after
    parse_policy(after, file="p.yaml")


def test_a_value_that_stands_for_others_is_refused() -> None:
    """An alias would change both."""
    text = "a: &x {b: 1}\nc: *x\n"
    with pytest.raises(ConfigError, match="anchor"):
        edited(text, {("a", "b"): 2}, file="p.yaml")


def test_putting_a_value_leaves_the_rest_alone() -> None:
    """The data that came in is not changed."""
    before: dict[str, Any] = {"a": [{"b": 1}]}
    assert put(before, {("a", 0, "b"): 2, ("c", "d"): 3}) == {"a": [{"b": 2}], "c": {"d": 3}}
    assert before == {"a": [{"b": 1}]}


def test_a_space_around_a_policy_holds_policies_only() -> None:
    """Each guess alone is a policy, and another one than that which came in."""
    around = space_around(POLICY, file="p.yaml")
    places = {knob.place for knob in around.knobs}
    assert {
        "spec.guardrails[errors].compare.promote.relative",
        "spec.strategy.steps[0].bake",
        "spec.hold_back",
    } <= places
    assert not any("risk.false" in place or "target" in place for place in places)
    for number, knob in enumerate(around.knobs):
        for level in range(1, 1 + len(knob.others)):
            choice = (*around.base[:number], level, *around.base[number + 1 :])
            assert around.problem(choice) is None
            assert parse_policy(around.policy_text(choice), file="p.yaml") != parse_policy(POLICY, file="p.yaml")


def test_a_search_proposes_each_policy_once(tmp_path: Path) -> None:
    """Until the space is exhausted; what is no policy is left out, and counted with its reason."""
    written = SPACE.replace("[1.05, 3, 10]", "[1.05, 3, 11]").replace("[10%, 20%]", "[10%, 20%, 60%]")
    written += "    spec.guardrails[errors].compare.promote.relative: [5, 12]\n"
    written += "    spec.strategy.steps[1].weight: [50%, 70%]\n"
    searched = space(tmp_path, POLICY, written)
    search, tried = Search(searched), {searched.base: (1.0,) * 6}
    while batch := search.next(tried):
        assert len(batch) <= BATCH
        assert not set(batch) & tried.keys()
        tried |= dict.fromkeys(batch, (1.0,) * 6)
    assert len(tried) + sum(search.skipped.values()) == searched.size == 36
    assert any("inverted" in reason for reason in search.skipped)
    assert any("weights must rise" in reason for reason in search.skipped)


def test_a_search_depends_on_its_history_only(tmp_path: Path) -> None:
    """The same figures, the same proposals."""
    searched = space(tmp_path)
    tried = {searched.base: (1.0,) * 6}
    assert Search(searched).next(tried) == Search(searched).next(tried)


def test_who_beats_whom() -> None:
    """Nowhere worse, somewhere better; what no scenario asks for does not count."""
    assert beats((1.0, None, 0.0), (1.0, None, 0.5))
    assert not beats((1.0, None, 0.0), (0.5, None, 0.5))
    assert front([(1.0, 1.0), (0.5, 2.0), (1.0, 1.0), (1.0, 3.0)]) == [0, 1]
    base = (0.0, 0.1, 1.0, 1.0, None, 0.0)
    assert score(base, base) == 1.0
    assert score((0.0, 0.1, 0.5, 1.0, None, 0.0), base) < 1.0
    assert wrong_more((0.1, 0.0, 0.1, 0.1, None, 0.0), base)


SPACES = [
    (SPACE.replace("knobs:", "knobs: {}").split("    spec.")[0], "empty"),
    (SPACE.replace("[10%, 20%]", "[20%]").replace("[1.05, 3, 10]", "[1.05]"), "empty"),
    (SPACE.replace("steps[0].weight", "steps[0].wieght"), "unknown key 'wieght'"),
    (SPACE.replace("steps[0]", "steps[7]"), "allowed in brackets: 0, 1, 2"),
    (SPACE.replace("[errors]", "[errros]"), "allowed in brackets: errors"),
    (SPACE.replace("[10%, 20%]", "[10%, 200%]"), "6:42: spec.strategy.steps[0].weight"),
    (SPACE.replace("[10%, 20%]", "[10%, many]"), "'many' is not a share"),
    (
        SPACE.replace("[10%, 20%]", "[10%, {a: 1}]"),
        "6:42: spec.knobs.spec.strategy.steps[0].weight[1]: is not one value",
    ),
    (SPACE.replace("spec.strategy.steps[0].weight", "spec.guardrails[errors].sli"), "sli"),
    (SPACE.replace("SearchSpace", "Space"), "SearchSpace"),
    (SPACE.replace("knobs", "nobs"), "unknown key 'nobs'"),
]


@pytest.mark.parametrize(("written", "told"), SPACES)
def test_a_space_that_is_none_is_told_by_line(tmp_path: Path, written: str, told: str) -> None:
    """Before anything is played."""
    with pytest.raises(GuardianError) as raised:
        space(tmp_path, POLICY, written)
    assert told in str(raised.value)
    assert "space.yaml:" in raised.value.where
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"budget": "soon"}, "--budget soon"),
        ({"budget": "0s"}, "no time"),
        ({"jobs": 2, "scheduler": "tcp://127.0.0.1:1"}, "leave one out"),
        ({"scheduler": "nonsense"}, "write tcp://HOST:8786"),
        ({"report": Path("report.txt")}, ".html"),
        ({"report": Path("nowhere/report.html")}, "make the folder"),
        ({"state": Path("nowhere/state")}, "--state"),
        ({"scenarios": ["s", "s2"]}, "two scenarios are called 'broken'"),
        ({"policy": Path("s/broken.yaml")}, "is a scenario, not a policy"),
        ({"policy": Path("s")}, "name the file of one policy"),
        ({"policy": Path("nothing.yaml")}, "there is no such file"),
        ({"policy": Path("gauge.yaml")}, "guardrail 'memory' measures"),
    ],
)
def test_wrong_usage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str
) -> None:
    """Before anything is played."""
    monkeypatch.chdir(tmp_path)
    gauge = POLICY + "    - {name: memory, sli: {gauge: {value: process_resident_memory_bytes}}}\n"
    files = {"policy.yaml": POLICY, "gauge.yaml": gauge, "s/broken.yaml": SCENARIOS["broken"]}
    for name, text in (files | {"s2/again.yaml": SCENARIOS["broken"]}).items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(GuardianError) as raised:
        tune(**{"policy": Path("policy.yaml"), "scenarios": ["s"], **options})
    assert told in str(raised.value)
    assert raised.value.remedy


def test_what_was_kept_for_another_search_is_refused(tmp_path: Path) -> None:
    """Figures of another policy would be taken for those of this one."""
    file = tmp_path / "state"
    with kept_in(file, HEADER):
        pass
    other = Header(policy="q", space="s", scenarios="x", made_with="w")
    with pytest.raises(ConfigError, match="policy, version changed since; name another file"), kept_in(file, other):
        pass
    file.write_text("my notes\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is something else"), kept_in(file, HEADER):
        pass
    assert file.read_text(encoding="utf-8") == "my notes\n"


def test_one_search_at_a_time_keeps_in_a_file(tmp_path: Path) -> None:
    """Two would write into each other's lines."""
    file = tmp_path / "state"
    with (
        kept_in(file, HEADER),
        pytest.raises(ConfigError, match="in use by another search"),
        kept_in(file, HEADER),
    ):
        pass


def test_a_full_disk_ends_the_search_with_what_to_do() -> None:
    """What was kept before stays."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(ConfigError, match="make room"):
        Kept({}, full, "--state").add("key", ())


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A folder, or a device that never ends."""
    for path in (tmp_path, Path("/dev/full")):
        with pytest.raises(ConfigError, match="is no file"), kept_in(path, HEADER):
            pass


def test_the_example_of_a_game_service_can_be_tuned() -> None:
    """Its scenarios carry the policy that is tuned, and every place of its space is in it."""
    folder = Path("examples/game")
    policy = (folder / "policy.yaml").read_text(encoding="utf-8")
    files = sorted((folder / "scenarios").glob("*.yaml"))
    searched = read_space(folder / "space.yaml", policy, file="policy.yaml")
    assert len(searched.knobs) == 10
    asked = Terms(
        scenarios={file.stem: file.read_text(encoding="utf-8") for file in files},
        seeds=2,
        fresh=2,
        trials=1,
        budget=None,
    )
    check(searched, asked)
    assert all(load(file).policy == parse_policy(policy, file="policy.yaml") for file in files)
