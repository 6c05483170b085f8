"""`extends`: what a file leaves out is that of another, and every mistake is told where it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.library import load, parse, whole
from simulator.traffic import Daily, Steady
from tests.simulator.worlds import refused, shipped, written


def test_what_is_left_out_is_that_of_the_other(tmp_path: Path) -> None:
    """A name, and one number that differs."""
    mine, base = load(written(tmp_path, "extends: S02\nspec: {traffic: {rate: 50}}\n")), shipped("S02")
    assert mine.name == "mine"
    assert isinstance(mine.spec.traffic, Steady)
    assert mine.spec.traffic.rate == 50
    assert mine.spec.traffic.noise == base.spec.traffic.noise
    assert mine.spec.service == base.spec.service
    assert mine.policy == base.policy


def test_another_kind_stands_for_itself(tmp_path: Path) -> None:
    """The rate of steady traffic says nothing about a day's."""
    mine = load(written(tmp_path, "extends: S02\nspec: {traffic: {kind: daily, low: 1, high: 20}}\n"))
    assert mine.spec.traffic == Daily(kind="daily", low=1, high=20)


def test_another_verdict_stands_for_itself(tmp_path: Path) -> None:
    """The deadline of a rollback is none of a hold."""
    mine = load(written(tmp_path, "extends: S02\nspec: {truth: {verdict: hold}, lasts: 10m}\n"))
    assert mine.spec.truth.within is None


def test_null_takes_a_key_away_and_a_list_replaces_a_list(tmp_path: Path) -> None:
    """A healthy release is the incident without its fault."""
    text = "extends: S41a\nspec: {faults: [], platform: {session: null}}\n"
    mine = load(written(tmp_path, text))
    assert mine.spec.platform.session == 0
    assert mine.spec.faults == ()


def test_a_second_document_says_how_the_policy_differs(tmp_path: Path) -> None:
    """Guardrails are a list, so they stay as a whole."""
    text = "extends: S02\n---\nspec: {risk: {false_rollback: 0.1%}}\n"
    mine, base = load(written(tmp_path, text)), shipped("S02")
    assert mine.policy.risk.false_rollback == 0.001
    assert mine.policy.risk.earliest_promotion == base.policy.risk.earliest_promotion
    assert mine.policy.guardrails == base.policy.guardrails


def test_a_file_beside_it_can_be_extended_and_is_told_whole_to_others(tmp_path: Path) -> None:
    """Who tunes on another machine has neither folder."""
    written(tmp_path, "extends: S02\nspec: {traffic: {rate: 50}}\n", "base.yaml")
    file = written(tmp_path, "extends: base.yaml\nspec: {lasts: 9m}\n")
    told = parse(whole(file), file="elsewhere")
    assert told.spec == load(file).spec
    assert told.policy == load(file).policy


def test_a_mistake_is_told_in_the_file_and_line_it_was_written_in(tmp_path: Path) -> None:
    """Half of what is read stands in another file."""
    base = written(tmp_path, "extends: S02\nspec:\n  traffic: {rate: -5}\n", "base.yaml")
    own = written(tmp_path, "extends: base.yaml\nspec:\n  lasts: 10m\n")
    assert refused(own).where.startswith(f"{base}:6:")
    fixed = written(tmp_path, "extends: S02\n", "base.yaml")
    assert load(fixed).name == "mine"
    wrong = refused(written(tmp_path, "extends: base.yaml\nspec:\n  trafic: {rate: 5}\n"))
    assert wrong.where.startswith(f"{own}:6:")
    assert "did you mean 'traffic'" in wrong.remedy


def test_files_that_extend_each_other_arerefused(tmp_path: Path) -> None:
    """It would never end."""
    written(tmp_path, "extends: mine.yaml\n", "other.yaml")
    error = refused(written(tmp_path, "extends: other.yaml\n"))
    assert error.what == "goes round in a circle: mine.yaml -> other.yaml -> mine.yaml"
    assert error.where.endswith("other.yaml:4:10")


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("extends: S022", "there is no scenario 'S022'", "did you mean 'S02'"),
        ("extends: 7", "names no scenario", "a file beside this one"),
        ("extends: nowhere.yaml", "there is no such file", "check the path"),
        ("extends: S02\n---\nspec: {}\n---\nspec: {}", "no scenario and its policy", "two documents"),
    ],
)
def test_what_cannot_be_extended_says_what_can(tmp_path: Path, text: str, what: str, remedy: str) -> None:
    """Each with a remedy."""
    error = refused(written(tmp_path, text + "\n"))
    assert what in error.what
    assert remedy in error.remedy


def test_a_variant_needs_a_name_of_its_own(tmp_path: Path) -> None:
    """Two rows of a table with one name tell nothing."""
    file = tmp_path / "nameless.yaml"
    file.write_text("apiVersion: slo-guardian/v1\nkind: Scenario\nextends: S02\n", encoding="utf-8")
    assert "'metadata' is missing" in refused(file).what
