"""Files and folders of policies: several in one, clashes, and texts that are no YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.config.policy import load_policies, load_policy, parse_policy
from guardian.errors import PolicyError
from tests.config.test_policy import ERRORS, HEAD


def test_load_policy_raises_the_first_mistake_and_counts_the_others(tmp_path: Path) -> None:
    """A daemon logs one line."""
    file = tmp_path / "bad.yaml"
    file.write_text(HEAD + ERRORS + "  mod: enforce\n  drain: 5\n")
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    assert caught.value.where == f"{file}:10:3"
    assert "and 1 more" in caught.value.what


@pytest.mark.parametrize(
    ("text", "where"), [("a: [1\nb: 2\n", ":2:"), ("a: 1\na: 2\n", ":2:"), ("\tb: 1", ":1:"), ("a: *x", ":1:")]
)
def test_what_is_no_yaml_has_a_line_too(text: str, where: str) -> None:
    """Also a key that is there twice: the second would win in silence."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, file="p.yaml")
    assert where in caught.value.where
    assert caught.value.remedy


def test_a_tree_of_aliases_is_refused() -> None:
    """A file of 1 kB must not grow to gigabytes."""
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(PolicyError) as caught:
        parse_policy("\n".join(lines), file="p.yaml")
    assert "entries" in caught.value.what


def test_a_file_may_hold_several_policies_and_a_folder_many(tmp_path: Path) -> None:
    """Documents are separated by ---; empty ones are nothing."""
    other = (HEAD + ERRORS).replace("name: checkout", "name: cart").replace("service: checkout", "service: cart")
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "both.yaml").write_text(f"---\n{HEAD}{ERRORS}---\n{other}---\n")
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    assert [one.name for one in load_policies(tmp_path)] == ["checkout", "cart"]


@pytest.mark.parametrize(
    ("change", "what"),
    [(("name: x", "name: x"), "a second policy is named"), (("name: checkout", "name: other"), "matches")],
)
def test_policies_that_clash_are_refused(tmp_path: Path, change: tuple[str, str], what: str) -> None:
    """It must be clear by which one a rollout is judged."""
    (tmp_path / "a.yaml").write_text(HEAD + ERRORS)
    (tmp_path / "b.yaml").write_text((HEAD + ERRORS).replace(*change))
    with pytest.raises(PolicyError) as caught:
        load_policies(tmp_path)
    assert what in caught.value.what


def test_dependencies_in_a_circle_are_refused_and_say_the_way_round(tmp_path: Path) -> None:
    """Nobody could be the cause of the other's trouble; a service nobody has a policy for is no circle."""
    text = HEAD + ERRORS + "  depends_on: [CALLED]\n"
    other = text.replace("name: checkout", "name: payment").replace("service: checkout", "service: payment")
    (tmp_path / "a.yaml").write_text(text.replace("CALLED", "payment, postgres"))
    (tmp_path / "b.yaml").write_text(other.replace("CALLED", "postgres"))
    assert [one.depends_on for one in load_policies(tmp_path)] == [("payment", "postgres"), ("postgres",)]
    (tmp_path / "b.yaml").write_text(other.replace("CALLED", "checkout"))
    with pytest.raises(PolicyError) as caught:
        load_policies(tmp_path)
    assert "checkout -> payment -> checkout" in caught.value.what
    assert caught.value.where.startswith(f"{tmp_path / 'a.yaml'}:10:")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Not an empty set of policies."""
    with pytest.raises(PolicyError):
        load_policies(tmp_path / "nope")
