"""Scenario files: the shipped ones load, and a wrong one is refused with line, nearest name and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.core.model import Seconds, Verdict
from guardian.errors import ScenarioError
from simulator.library import LIBRARY, find, find_all, library, load
from tests.simulator.worlds import POLICY, refused

SHIPPED = (
    "S01", "S02", "S03", "S04", "S05", "S06", "S07", "S08", "S10", "S11", "S12", "S13", "S14a", "S14b", "S15", "S17",
    "S18", "S19", "S20", "S21", "S23", "S25", "S26a", "S26b", "S26c", "S27", "S28", "S29", "S31", "S32a", "S32b", "S33",
    "S34", "S35a", "S35b", "S36", "S37a", "S37b", "S41a", "S41b", "S42", "S43", "S44", "S50", "S51", "S52", "S53",
    "S54", "S55", "S56", "S60a", "S60b", "S61a", "S61b", "S62a", "S62b", "S63a", "S63b", "S64a", "S64b", "S65",
    "S66", "S67", "S68a", "S68b",
)  # fmt: skip
WORLD = """apiVersion: slo-guardian/v1
kind: Scenario
metadata: {name: X1, title: a test}
spec:
  story: a test
  service:
    name: checkout
    errors: {share: 0.5%}
    latency:
      body: [{share: 100%, median: 80ms, sigma: 0.5}]
      tail: {share: 0.3%, median: 2.5s, sigma: 0.2}
  traffic: {kind: steady, rate: 200}
  faults:
    - {kind: error_step, at: 1m, share: 5%}
  truth: {verdict: rollback, onset: 1m, within: 60s}
---
"""


def _refused(folder: Path, text: str) -> ScenarioError:
    file = folder / "x.yaml"
    file.write_text(text, encoding="utf-8")
    return refused(file)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_scenario_of_the_library_loads(name: str) -> None:
    """A library that does not load is worse than none."""
    (file,) = find(name)
    scenario = load(file)
    assert scenario.name == name
    assert scenario.spec.truth.verdict in {Verdict.ROLLBACK, Verdict.PROMOTE, Verdict.HOLD}
    assert scenario.spec.history >= 1800


def test_the_library_has_the_scenarios_it_says() -> None:
    """The list in the documentation is this one."""
    assert set(SHIPPED) <= set(library())


def test_a_good_file_of_a_user_loads(tmp_path: Path) -> None:
    """A run is watched until four times the deadline after the onset."""
    file = tmp_path / "mine.yaml"
    file.write_text(WORLD + POLICY, encoding="utf-8")
    assert load(file).horizon == Seconds(60 + 4 * 60)


def test_a_misspelt_key_is_refused_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    """A key that is ignored would change the world without a word."""
    error = _refused(tmp_path, WORLD.replace("  traffic:", "  trafic:") + POLICY)
    assert "unknown key 'trafic'" in str(error)
    assert ":12:" in error.where
    assert "traffic" in error.remedy


def test_an_unknown_fault_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    """A fault that does not happen makes every gate look good."""
    error = _refused(tmp_path, WORLD.replace("error_step", "eror_step") + POLICY)
    assert "eror_step" in error.what
    assert ":14:" in error.where
    assert "did you mean 'error_step'" in error.remedy


@pytest.mark.parametrize(
    ("instead", "place", "what", "remedy"),
    [
        ("{rate: 200}", "12:12", "key 'kind' is missing in spec.traffic", "one of daily, on_off, ramp"),
        ("{kind: rampe, rate: 200}", "12:19", "spec.traffic.kind: 'rampe' is not allowed", "did you mean 'ramp'?"),
        ("{kind: [ramp], rate: 200}", "12:19", "spec.traffic.kind: a list is not allowed", "Allowed: daily,"),
    ],
)
def test_traffic_of_no_kind_is_refused_with_the_kinds_there_are(
    tmp_path: Path, instead: str, place: str, what: str, remedy: str
) -> None:
    """In the words of every other mistake, where it was written."""
    error = _refused(tmp_path, WORLD.replace("{kind: steady, rate: 200}", instead) + POLICY)
    assert error.where.endswith(place)
    assert what in error.what
    assert remedy in error.remedy


def test_a_wrong_track_of_a_fault_lists_each_track_once(tmp_path: Path) -> None:
    """Every kind of fault allows its own tracks; what one may write is named once."""
    error = _refused(tmp_path, WORLD.replace("share: 5%", "share: 5%, on: canry") + POLICY)
    assert error.remedy == "did you mean 'canary'? Allowed: both, canary, stable, young"


def test_a_rollback_without_a_deadline_is_refused_in_our_own_words(tmp_path: Path) -> None:
    """What the checking library puts before a complaint says nothing to who wrote the file."""
    error = _refused(tmp_path, WORLD.replace(", within: 60s", "") + POLICY)
    assert error.what.startswith("spec.truth: `within` is the deadline")


def test_a_fault_with_a_wrong_key_says_which_line(tmp_path: Path) -> None:
    """Keys of a fault are checked against that fault, not against all."""
    error = _refused(tmp_path, WORLD.replace("share: 5%}", "shar: 5%}") + POLICY)
    assert ":14:" in error.where
    assert "shar" in error.what


def test_a_mistake_in_the_policy_is_found_in_the_same_file(tmp_path: Path) -> None:
    """Lines are counted from the head of the file, not of the document."""
    error = _refused(tmp_path, WORLD + POLICY.replace("guardrails:", "guardrials:"))
    assert "guardrials" in error.what
    assert int(error.where.split(":")[-2]) > 16


def test_a_policy_about_another_service_is_refused(tmp_path: Path) -> None:
    """It would be judged on nothing."""
    error = _refused(tmp_path, WORLD.replace("name: checkout", "name: payment") + POLICY)
    assert "'checkout'" in error.what
    assert "payment" in error.remedy


@pytest.mark.parametrize(
    ("written", "instead", "what", "remedy"),
    [
        ("  workload: {memory: {}}\n", "", "without a workload", "add `workload: {memory: {}}`"),
        ("  router: {memory: {}}\n", "", "without a router", "add `router: {memory: {}}`"),
        ("  router:", "  mode: advise\n  router:", "nobody is there to approve", "write `mode: enforce`"),
        ("  router:", "  mode: observe\n  router:", "nothing is written", "write `mode: enforce`"),
        ("environment: production", "environment: staging", "'staging'", "write 'production'"),
    ],
)
def test_a_policy_under_which_nothing_ever_happens_is_refused(
    tmp_path: Path, written: str, instead: str, what: str, remedy: str
) -> None:
    """It would be played to its end, seed by seed, before the table says `never`."""
    error = _refused(tmp_path, WORLD + POLICY.replace(written, instead))
    assert what in error.what
    assert error.remedy == remedy
    assert int(error.where.split(":")[-2]) > 16


def test_a_policy_for_any_environment_is_one_for_the_scenario(tmp_path: Path) -> None:
    """A match without an environment is no mistake."""
    file = tmp_path / "mine.yaml"
    file.write_text(WORLD + POLICY.replace(", environment: production", ""), encoding="utf-8")
    assert load(file).policy.match.environment == ""


def test_a_file_without_its_policy_says_what_is_missing(tmp_path: Path) -> None:
    """Each scenario carries its policy: an objective must fit the base rate."""
    error = _refused(tmp_path, WORLD.removesuffix("---\n"))
    assert "1 YAML document;" in error.what
    assert "policy" in error.remedy


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """One letter off is the usual mistake."""
    with pytest.raises(ScenarioError, match=r"'S022'.*did you mean 'S02'.*`guardian simulate --list`"):
        find("S022")


def test_a_folder_means_all_its_scenarios_each_once() -> None:
    """A scenario that is counted twice would weigh twice."""
    assert find_all([str(LIBRARY), "S01", "s02"]) == find(str(LIBRARY))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("share: 5%}", "share: 5%, factor: 2}", "either"),
        ("within: 60s}", "expect: []}", "within"),
        ("share: 100%, median", "share: 90%, median", "100 %"),
        ("rate: 200", "rate: -1", "traffic"),
        ("rate: 200}", "rate: 200}\n  scrape: {every: 1s, jitter: 500ms}", "before the last"),
        ("at: 1m", "at: soon", "duration"),
        ("median: 80ms", "median: 80", "unit"),
    ],
)
def test_impossible_worlds_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Each with the place and what would be right."""
    error = _refused(tmp_path, WORLD.replace(old, new, 1) + POLICY)
    assert said in str(error)
    assert error.where.count(":") >= 2
