"""`guardian judge` as a pipeline calls it: exit codes, files written and not written, texts for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, always, generate

POLICY = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  strategy: {kind: canary, steps: [{weight: 10%, bake: 5m}, {weight: 100%, bake: 10m}]}
  risk: {false_rollback: 1%, false_promotion: 5%, earliest_promotion: 5m}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
"""
HEADER = "rollout_id,t,dt,track,pod,metric,requests,bad,le,count\n"
GOOD = "r,-10,10,stable,a,errors,100,1,,\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy with errors only."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def guardian(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "guardian", "judge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def sampled(path: Path, *, times_worse: float, runs: int = 1) -> Path:
    """A file of rollouts at 400 rps."""
    streams = generate(Situation(rps=400.0, length=400.0, effect=always(times_worse)), runs=runs, seed=3)
    table: pa.Table = sample_table(streams)
    pacsv.write_csv(table, path)
    return path


@pytest.mark.parametrize(("times_worse", "code", "verdict"), [(5.0, 3, "rollback"), (1.0, 0, "promote")])
def test_the_exit_code_is_the_verdict_where_it_is_asked_for(
    tmp_path: Path, policy: Path, *, times_worse: float, code: int, verdict: str
) -> None:
    """One rollout in the file; without --exit-verdict the same run ends with 0."""
    samples, output = sampled(tmp_path / "samples.csv", times_worse=times_worse), tmp_path / "verdicts.jsonl"
    done = guardian(samples, "--policy", policy, "--output", output, "--exit-verdict")
    assert (done.returncode, done.stdout) == (code, "")
    (found,) = [json.loads(line) for line in output.read_text().splitlines()]
    assert found["verdict"] == verdict
    assert {"rollout_id", "decided_at", "metric", "evidence", "reason"} <= found.keys()
    assert guardian(samples, "--policy", policy, "--output", output).returncode == 0


def test_two_rollouts_have_no_single_exit_code(tmp_path: Path, policy: Path) -> None:
    """Wrong usage, and no output file."""
    samples, output = sampled(tmp_path / "samples.csv", times_worse=1.0, runs=2), tmp_path / "verdicts.jsonl"
    done = guardian(samples, "--policy", policy, "--output", output, "--exit-verdict")
    assert done.returncode == 2
    assert "2 rollouts" in done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEADER + GOOD + "r,0,10,stable,a,errors,many,1,,\n", "line 3, column requests"),
        (HEADER + GOOD + "r,0,10,stable,a,errors,10,11,,\n", "line 3, column bad"),
        (HEADER + GOOD + "r,0,10,blue,a,errors,10,1,,\n", "line 3, column track"),
        (HEADER + GOOD + "r,-20,10,stable,a,errors,10,1,,\n", "line 3, column t"),
        (HEADER + GOOD + "r,0,-1,stable,a,errors,10,1,,\n", "line 3, column dt"),
        (HEADER + GOOD + "r,0,10,stable,a,errors,10\n", "line 3, column bad: ends after 7 values, the header names 10"),
        (HEADER + GOOD + "r,0,10,stable,a,errors,10,1,,,\n", "line 3, value 11: has 11 values, the header names 10"),
        ((HEADER + GOOD).replace(",", ";"), "line 1: its columns are separated by ';'"),
        ((HEADER + GOOD).replace(",", "\t"), "line 1: its columns are separated by '\\t'"),
        (HEADER + GOOD + "r,0,10,stable,a,errors,-1,0,,\n", "line 3, column requests"),
        (HEADER.replace("dt,", "") + "r,0,stable,a,errors,10,1,,\n", "column 'dt'"),
        (HEADER.replace("bad,", "") + "r,0,10,stable,a,errors,10,,\n", "line 1, column bad: has no column 'bad'"),
        (HEADER.replace("requests,", "reqs,") + "r,0,10,stable,a,errors,10,1,,\n", "has no column 'requests'; it has "),
        ("", "column 'rollout_id'"),
    ],
)
def test_a_file_that_breaks_the_contract_is_told_by_line_and_column(
    tmp_path: Path, policy: Path, *, content: str, said: str
) -> None:
    """Exit 2, where and what to do on stderr, and no output file: not even an old one."""
    samples, output = tmp_path / "samples.csv", tmp_path / "verdicts.jsonl"
    samples.write_text(content)
    output.write_text("of an earlier run\n")
    done = guardian(samples, "--policy", policy, "--output", output)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert str(samples) in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_files_that_cannot_be_read_are_named(tmp_path: Path, policy: Path) -> None:
    """Absent, wrong ending, not what the ending says, not UTF-8."""
    absent, ending, fake, binary = (tmp_path / name for name in ("no.csv", "x.txt", "x.parquet", "b.csv"))
    ending.write_text(HEADER + GOOD)
    fake.write_text(HEADER + GOOD)
    binary.write_bytes(HEADER.encode() + b"r\xff,0,10,stable,a,errors,10,1,,\n")
    for path in (absent, ending, fake, binary):
        done = guardian(path, "--policy", policy)
        assert (done.returncode, str(path) in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


def test_an_input_is_never_overwritten(tmp_path: Path, policy: Path) -> None:
    """`--output` must not name a file of samples."""
    samples = sampled(tmp_path / "samples.csv", times_worse=1.0)
    before = samples.read_bytes()
    assert guardian(samples, "--policy", policy, "--output", samples).returncode == 2
    assert samples.read_bytes() == before


def test_without_output_the_verdicts_go_to_stdout(tmp_path: Path, policy: Path) -> None:
    """Data to stdout, JSON lines."""
    done = guardian(sampled(tmp_path / "samples.csv", times_worse=5.0, runs=2), "--policy", policy)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["rollback", "rollback"]


def test_rows_of_a_name_that_no_guardrail_has_are_told(tmp_path: Path, policy: Path) -> None:
    """A misspelt metric would be history or traffic lost without a word."""
    samples = tmp_path / "samples.csv"
    samples.write_text(HEADER + GOOD + GOOD.replace("errors", "erors"))
    done = guardian(samples, "--policy", policy)
    assert done.returncode == 0
    assert "erors; it has errors" in done.stderr


def test_gauges_are_judged_by_the_column_value(tmp_path: Path, policy: Path) -> None:
    """A leak that doubles the canary's memory within an hour; all else is as before."""
    text = POLICY + "    - name: memory\n      sli: {gauge: {value: memory_bytes}}\n"
    policy.write_text(text)
    rows = ["rollout_id,t,dt,track,pod,metric,requests,bad,le,count,value\n"]
    for t in range(-1800, 901, 15):
        tracks = ("stable",) if t <= 0 else ("stable", "canary")
        for track, pod in ((track, pod) for track in tracks for pod in "abc"):
            grown = 1.0 + (t / 3600.0 if track == "canary" else 0.0) + 0.01 * ((t // 15 * 7 + ord(pod)) % 5 - 2)
            rows += [f"r,{t},15,{track},{pod},errors,500,2,,,\n", f"r,{t},15,{track},{pod},memory,,,,,{grown}\n"]
    samples = tmp_path / "samples.csv"
    samples.write_text("".join(rows))
    done = guardian(samples, "--policy", policy)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["metric"]) == ("rollback", "memory")
    assert "readings are independent" in found["reason"]


def test_strata_that_the_policy_does_not_name_are_an_error_of_the_file(tmp_path: Path, policy: Path) -> None:
    """Exit 2, with pod, metric and both remedies; with the label in the policy the same file is judged."""
    samples = tmp_path / "zones.csv"
    rows = [f"r,{t},10,stable,p,errors,100,1,,,zone={zone}\n" for t in (-20, -10) for zone in "ab"]
    samples.write_text(HEADER.replace("\n", ",stratum\n") + "".join(rows))
    done = guardian(samples, "--policy", policy)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "pod 'p' has rows of several strata" in done.stderr
    assert "metric 'errors', t -20" in done.stderr
    assert "`compare.strata`" in done.stderr
    policy.write_text(POLICY + "      compare: {strata: [zone]}\n")
    done = guardian(samples, "--policy", policy)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "inconclusive"


def test_a_count_alone_cannot_be_judged(tmp_path: Path, policy: Path) -> None:
    """Nothing says how much each track served: wrong input, and the remedy is told."""
    text = POLICY[: POLICY.index("    - name: errors")] + "    - name: orders\n      sli: {count: {events: orders}}\n"
    policy.write_text(text)
    samples = tmp_path / "samples.csv"
    samples.write_text(HEADER + GOOD)
    done = guardian(samples, "--policy", policy)
    assert done.returncode == 2
    assert "how much each track served" in done.stderr
    assert "add a ratio or a histogram" in done.stderr


def test_a_histogram_without_an_end_is_named(tmp_path: Path) -> None:
    """Without the bucket +Inf nothing can be judged of it: told with metric and pod, not as missing history."""
    rules = POLICY + "    - {name: latency, sli: {histogram: {buckets: seconds_bucket}}}\n"
    (tmp_path / "p.yaml").write_text(rules)
    rows = [
        f"r,{10 * tick},10,{track},{track}-1,latency,,,{bound},{100 * (tick + 5)}\n"
        for tick in range(-4, 5)
        for track in (("stable",) if tick <= 0 else ("stable", "canary"))
        for bound in (0.1, 0.5)
    ]
    (tmp_path / "s.csv").write_text(HEADER + "".join(rows))
    done = guardian(tmp_path / "s.csv", "--policy", tmp_path / "p.yaml", "--output", tmp_path / "v.jsonl")
    assert done.returncode == 2
    assert "metric 'latency', t -40: the buckets of pod 'stable-1' have no upper bound +Inf" in done.stderr
    assert "write the row with le `+Inf`" in done.stderr
    assert not (tmp_path / "v.jsonl").exists()
