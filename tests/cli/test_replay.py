"""`guardian replay` as a person calls it: exit codes, tables, JSON, texts for bad input; and a daemon that records."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from guardian.adapters.tapes.folder import TapeFolder
from simulator.testing.run import current_run
from tests.adapters.tapes import part
from tests.cli.daemon import LONG, POLICY, Answer, guardian, started, until

OTHER = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {{name: other}}
spec:
  match: {{service: {service}, environment: production}}
  router: memory
  workload: memory
  risk: {{false_rollback: 0.0001%}}
  strategy: {{kind: canary, steps: [{{weight: 10%, bake: 5m}}, {{weight: 50%, bake: 5m}}, {{weight: 100%, bake: 10m}}]}}
  guardrails:
    - name: failures
      sli: {{ratio: {{bad: 'http_requests_total{{status=~"5.."}}', total: http_requests_total}}}}
    - name: waiting
      sli: {{histogram: {{buckets: waiting_seconds_bucket}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tapes of two runs, and policies of two services."""
    folder = tmp_path_factory.mktemp("tapes")
    for service in ("checkout", "payment"):
        (folder / f"{service}.yaml").write_text(OTHER.format(service=service))
    answer = guardian("simulate", "S02", "--seeds", "2", "--jobs", "1", "--tape", "tapes", folder=folder)
    assert answer.code == 0, answer.err
    return folder


def replay(folder: Path, *arguments: str) -> Answer:
    """Replay both runs."""
    return guardian("replay", "tapes", *arguments, folder=folder)


def test_nothing_differs_under_the_same_policy(folder: Path) -> None:
    """Strict or not, the answer is yes."""
    answer = replay(folder, "--strict")
    assert (answer.code, answer.out.count("none")) == (0, 2)
    assert "Differences" not in answer.out


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 3)])
def test_differences_are_explained_and_strict_fails(folder: Path, strict: tuple[str, ...], code: int) -> None:
    """Another policy may differ, that is what it is for; --strict is for those who do not want it to."""
    answer = replay(folder, "--policy", "checkout.yaml", *strict)
    assert answer.code == code
    assert "only in the recording: checkout 1.1.0 fails more than the margin of 'errors' allows" in answer.out
    assert "its policy asks for 1,000,000" in answer.out
    assert "the tape has no data of waiting" in answer.out
    assert "users did not get the weight that the replay ordered" in answer.out


def test_json_has_every_difference(folder: Path) -> None:
    """For a pipeline: what, when on both sides, and the sentence."""
    answer = replay(folder, "--policy", "checkout.yaml", "-o", "json")
    document = json.loads(answer.out)
    assert (document["kind"], len(document["items"])) == ("Replay", 2)
    (rollout,) = document["items"][0]["rollouts"]
    back = next(one for one in rollout["differences"] if one["what"] == "rollback by guardrail")
    assert (back["recorded"], back["replayed"]) == (rollout["recorded"]["at"], None)
    assert (rollout["recorded"]["verdict"], rollout["replayed"]["verdict"]) == ("rollback", "hold")
    assert rollout["diverged"] == rollout["recorded"]["at"]
    assert document["items"][0]["not_on_tape"] == {"guardrails": ["waiting"], "notes": []}


def test_a_policy_of_another_service_is_wrong_usage(folder: Path) -> None:
    """The text names both."""
    answer = replay(folder, "--policy", "payment.yaml")
    assert answer.code == 2
    assert "policy 'other' is for service 'payment'" in answer.err
    assert "the tape of 'checkout'" in answer.err


def test_what_is_no_tape_is_wrong_usage(folder: Path, tmp_path: Path) -> None:
    """File, mistake and remedy."""
    (tmp_path / "cut.parquet").write_bytes(next(folder.rglob("*.parquet")).read_bytes()[:1000])
    answer = guardian("replay", "cut.parquet", folder=tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "cut.parquet: is cut off, or is no Parquet file" in answer.err
    assert "remedy: " in answer.err


def test_the_version_that_recorded_is_named_where_it_is_another(folder: Path, tmp_path: Path) -> None:
    """Differences are then the version's; none here, and still it is said."""
    file = next(folder.rglob("*.parquet"))
    table = pq.read_table(file)
    title = json.loads(table.schema.metadata[b"slo-guardian.tape"])
    old = json.dumps(title | {"guardian": "0.0.9"}).encode()
    pq.write_table(table.replace_schema_metadata({b"slo-guardian.tape": old}), tmp_path / "old.parquet")
    answer = guardian("replay", "old.parquet", "--strict", folder=tmp_path)
    assert answer.code == 0
    assert "was recorded by slo-guardian 0.0.9" in answer.out


def test_a_tape_without_a_rollout_is_undecided(tmp_path: Path) -> None:
    """Nothing differs on it, which is not the same as nothing having differed."""
    TapeFolder(tmp_path / "tapes").keep(part())
    answer = guardian("replay", "tapes", "--strict", folder=tmp_path)
    assert (answer.code, answer.out) == (4, "")
    assert "no rollout on the tape can be replayed" in answer.err


def test_a_daemon_records_as_its_settings_say(tmp_path: Path) -> None:
    """From a deploy event over HTTP to a replay: one service of two, in a folder of its own, whole after SIGTERM."""
    policies = {service: POLICY.format(service=service, **LONG) for service in ("told", "asked")}
    with current_run() as run:
        record = f"{{folder: {tmp_path / 'kept'}, services: [told], part: 10s, size: 1MiB, age: 1d}}"
        daemon = started(run, policies=policies, settings=f"record: {record}\n")
        for service in ("told", "asked"):
            answer = daemon.guardian("deploy", service, "2.1.0")
            assert answer.code == 0, answer.err
        listed = json.loads(daemon.guardian("list", "-o", "json").out)["items"]
        (name,) = (one["id"] for one in listed if one["service"] == "told")
        until(daemon, name, "progressing")
        daemon.guardian("abort", name, "--reason", "enough")
        until(daemon, name, "aborted")
        daemon.server.stop()
        found = guardian("replay", str(tmp_path / "kept"), "--strict", "-o", "json", folder=tmp_path)
    assert found.code == 0, found.out
    (item,) = json.loads(found.out)["items"]
    assert (item["service"], item["rollouts"][0]["recorded"]["phase"]) == ("told", "aborted")
    assert item["not_on_tape"]["notes"] == []
    for file in (tmp_path / "kept").rglob("*.parquet"):
        assert b"slo-guardian.tape" in pq.read_schema(file).metadata
