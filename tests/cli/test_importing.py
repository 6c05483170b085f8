"""`guardian import`: policies to stdout or a file, what was left out to stderr."""

from __future__ import annotations

from pathlib import Path

from tests.cli.daemon import guardian
from tests.importing.manifests import BLUE_GREEN, GUESTBOOK, PODINFO, SUCCESS_RATE, written


def test_the_policy_goes_to_stdout_and_the_doubts_to_stderr(tmp_path: Path) -> None:
    """A pipe gets YAML only; --quiet leaves the doubts to the comments."""
    written(tmp_path, GUESTBOOK, SUCCESS_RATE)
    done = guardian("import", "argo", "a.yaml", "b.yaml", "-e", "production", folder=tmp_path)
    assert done.code == 0
    assert "match: {service: guestbook, environment: production}" in done.out
    assert "warning: guestbook: spec.strategy.canary.analysis.startingStep: " in done.err
    assert "warning:" not in done.out
    quiet = guardian("import", "argo", "a.yaml", "b.yaml", "-e", "production", "-q", folder=tmp_path)
    assert (quiet.code, quiet.out, quiet.err) == (0, done.out, "")


def test_it_is_written_to_a_file_that_check_accepts(tmp_path: Path) -> None:
    """Advice there may be, errors not."""
    written(tmp_path, PODINFO)
    done = guardian("import", "flagger", "a.yaml", "--service", "front", "-o", "policy.yaml", folder=tmp_path)
    assert (done.code, done.out) == (0, "")
    assert guardian("check", "policy.yaml", folder=tmp_path).code == 0
    assert "match: {service: front}" in (tmp_path / "policy.yaml").read_text(encoding="utf-8")


def test_a_refusal_leaves_no_file(tmp_path: Path) -> None:
    """Exit 2: an input file that cannot be used; what was there stays."""
    written(tmp_path, BLUE_GREEN)
    done = guardian("import", "argo", "a.yaml", "-o", "policy.yaml", folder=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "a.yaml:7:7: Rollout rollout-bluegreen is blue-green, which import does not translate yet" in done.err
    assert not (tmp_path / "policy.yaml").exists()


def test_options_that_say_nothing_are_refused(tmp_path: Path) -> None:
    """Values of a label that is not named; a folder that is not there."""
    written(tmp_path, PODINFO)
    alone = guardian("import", "flagger", "a.yaml", "--stable", "old", folder=tmp_path)
    assert (alone.code, "--track-label" in alone.err) == (2, True)
    nowhere = guardian("import", "flagger", "a.yaml", "-o", "no/policy.yaml", folder=tmp_path)
    assert (nowhere.code, "cannot be written" in nowhere.err) == (2, True)
