"""Verdicts on files of samples: the rules of CONTRACTS section 6."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, always, generate, since
from guardian.adapters.samples.tables import Samples
from guardian.core.model import Ratio, Seconds, Verdict
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Policy, Risk, WarmUp
from guardian.errors import SamplesError
from tests.builders import ERRORS, LATENCY, policy

RISK = Risk(false_rollback=Ratio(0.01), false_promotion=Ratio(0.05), earliest_promotion=Seconds(300.0))
BOTH = replace(policy(), guardrails=(ERRORS, LATENCY), risk=RISK)
SHORT = Situation(latency=True, rps=400.0, length=600.0, missing=0.05, tick=15.0, stable_pods=4)


def written(table: pa.Table, path: Path) -> Path:
    """Write a table where its name says."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=5_000)
    else:
        pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="none"))
    return path


def verdicts(path: Path, by: Policy = BOTH) -> dict[str, OfflineVerdict]:
    """Judge a file."""
    reader = Samples([path])
    court = Offline(by, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
    for batch in reader:
        court.take(batch)
    return {verdict.rollout_id: verdict for verdict in court.finish()}


def story() -> pa.Table:
    """Twelve rollouts: healthy, more errors from the start, slower from 200 s on."""
    parts = [
        sample_table(generate(SHORT, runs=4, seed=1), prefix="healthy-"),
        sample_table(generate(replace_situation(effect=always(3.0)), runs=4, seed=2), prefix="errors-"),
        sample_table(generate(replace_situation(slower=since(200.0, 1.6)), runs=4, seed=3), prefix="slower-"),
    ]
    table = pa.concat_tables(parts)
    return table.take(pa.array(np.argsort(table["t"].to_numpy(), kind="stable")))


def gist(found: dict[str, OfflineVerdict]) -> dict[str, tuple[object, ...]]:
    """What must not depend on the order of a sum: evidence to nine digits, and all but the sentence."""
    return {name: (v.verdict, v.decided_at, v.metric, float(f"{v.evidence:.9g}")) for name, v in found.items()}


def replace_situation(**changes: object) -> Situation:
    """SHORT with changes."""
    kept = {name: getattr(SHORT, name) for name in SHORT.__dataclass_fields__}
    return Situation(**{**kept, **changes})


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """The story, made once."""
    return story()


@pytest.fixture(scope="module")
def whole(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, OfflineVerdict]:
    """Verdicts on the whole story."""
    return verdicts(written(table, tmp_path_factory.mktemp("whole") / "samples.parquet"))


def test_worse_rollouts_are_rolled_back_and_healthy_ones_are_not(whole: dict[str, OfflineVerdict]) -> None:
    """Large effects at 400 rps: every regression is found, on its own metric, after it began."""
    worse = [verdict for name, verdict in whole.items() if not name.startswith("healthy")]
    assert {verdict.verdict for verdict in worse} == {Verdict.ROLLBACK}
    assert {whole[f"errors-{i}"].metric for i in range(4)} == {"errors"}
    assert {whole[f"slower-{i}"].metric for i in range(4)} == {"latency"}
    assert all(whole[f"slower-{i}"].decided_at > 200.0 for i in range(4))
    assert all(whole[f"healthy-{i}"].verdict is not Verdict.ROLLBACK for i in range(4))


def test_evidence_of_a_verdict_is_at_least_what_its_risk_asks(whole: dict[str, OfflineVerdict]) -> None:
    """1/false_rollback and 1/false_promotion; always finite and not negative."""
    least = {Verdict.ROLLBACK: 100.0, Verdict.PROMOTE: 20.0}
    for verdict in whole.values():
        assert math.isfinite(verdict.evidence)
        assert verdict.evidence >= least.get(verdict.verdict, 0.0) * (1.0 - 1e-12)


@settings(max_examples=6)
@given(cut=st.floats(-200.0, 620.0))
def test_no_verdict_looks_ahead(
    table: pa.Table, whole: dict[str, OfflineVerdict], cut: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Judging the file cut after T gives the same rollbacks and promotions decided by T, to the second."""
    part = table.filter(pc.less_equal(table["t"], cut))
    found = verdicts(written(part, tmp_path_factory.mktemp("cut") / "samples.parquet"))
    final = (Verdict.ROLLBACK, Verdict.PROMOTE)
    early = {name: v for name, v in whole.items() if v.verdict in final and v.decided_at <= cut}
    assert {name: v for name, v in found.items() if v.verdict in final} == early


def test_format_and_order_within_a_tick_do_not_matter(
    table: pa.Table, whole: dict[str, OfflineVerdict], tmp_path: Path
) -> None:
    """CSV or Parquet, rows of a tick in any order, all rollouts mixed or one after the other: the same verdicts."""
    random = np.random.default_rng(7)
    shuffled = table.take(pa.array(random.permutation(len(table))))
    by_time = shuffled.take(pa.array(np.argsort(shuffled["t"].to_numpy(), kind="stable")))
    assert gist(verdicts(written(by_time, tmp_path / "mixed.csv"))) == gist(whole)
    by_rollout = shuffled.sort_by([("rollout_id", "ascending"), ("t", "ascending")])
    assert gist(verdicts(written(by_rollout, tmp_path / "one-by-one.parquet"))) == gist(whole)


def test_a_restarted_process_changes_no_count(tmp_path: Path) -> None:
    """Bucket counters that fall are resets: what the new process counted is all there is."""
    streams = generate(replace_situation(missing=0.0, slower=always(1.6)), runs=2, seed=5)
    plain = verdicts(written(sample_table(streams), tmp_path / "plain.parquet"))
    restarted = sample_table(streams, restarts={(0, 1): 123, (0, 4): 122, (1, 0): 125})
    assert verdicts(written(restarted, tmp_path / "restarted.parquet")) == plain


def test_a_canary_that_vanishes_is_inconclusive(tmp_path: Path) -> None:
    """No rows of the canary: neither a rollback nor a promotion, and the reason says what is missing."""
    streams = generate(replace_situation(vanish=120.0), runs=3, seed=6)
    found = verdicts(written(sample_table(streams), tmp_path / "vanished.parquet"))
    assert {verdict.verdict for verdict in found.values()} == {Verdict.INCONCLUSIVE}
    assert all("canary still reports" in verdict.reason for verdict in found.values())


def test_stable_traffic_that_ends_is_no_missing_data(tmp_path: Path) -> None:
    """At weight 100 % there is nothing left to compare with; a verdict not reached by then is a hold."""
    streams = generate(Situation(rps=5.0, length=600.0, weight=lambda t: np.where(t > 200.0, 1.0, 0.2)), runs=3, seed=8)
    assert {v.verdict for v in verdicts(written(sample_table(streams), tmp_path / "a.csv")).values()} == {Verdict.HOLD}


def test_a_guardrail_without_history_takes_no_part(tmp_path: Path) -> None:
    """Its share of the risk goes to the others; alone it leaves the rollout inconclusive."""
    table = sample_table(generate(replace_situation(effect=always(3.0)), runs=2, seed=9))
    late = table.filter(pc.or_(pc.equal(table["metric"], "errors"), pc.greater(table["t"], 0.0)))
    found = verdicts(written(late, tmp_path / "late.parquet"))
    assert {verdict.metric for verdict in found.values()} == {"errors"}
    only = late.filter(pc.equal(late["metric"], "latency"))
    assert {v.verdict for v in verdicts(written(only, tmp_path / "only.parquet")).values()} == {Verdict.INCONCLUSIVE}


def test_nothing_is_promoted_early(whole: dict[str, OfflineVerdict]) -> None:
    """Not before `earliest_promotion`, however good the evidence."""
    assert all(v.decided_at >= 300.0 for v in whole.values() if v.verdict is Verdict.PROMOTE)


def test_warming_pods_may_be_worse_by_the_factor(tmp_path: Path) -> None:
    """Up to factor times worse within warm_up rolls nothing back; a catastrophe does."""
    warm = WarmUp(lasts=Seconds(180.0), factor=3.0)
    by = replace(BOTH, guardrails=(replace(ERRORS, warm_up=warm),))
    cold = Situation(rps=400.0, length=600.0, effect=lambda t: np.where((t > 0) & (t <= 170.0), 2.5, 1.0))
    healthy = verdicts(written(sample_table(generate(cold, runs=6, seed=10)), tmp_path / "cold.parquet"), by)
    assert Verdict.ROLLBACK not in {verdict.verdict for verdict in healthy.values()}
    broken = Situation(rps=400.0, length=600.0, effect=always(20.0))
    found = verdicts(written(sample_table(generate(broken, runs=6, seed=11)), tmp_path / "broken.parquet"), by)
    assert all(v.verdict is Verdict.ROLLBACK and v.decided_at < 120.0 for v in found.values())


def test_three_times_the_errors_with_perfect_latency_is_never_promoted(tmp_path: Path) -> None:
    """Every guardrail must pass by itself: a superb latency buys nothing."""
    streams = generate(replace_situation(effect=always(3.0), slower=always(0.3)), runs=20, seed=12)
    found = verdicts(written(sample_table(streams), tmp_path / "fast.parquet"))
    assert {verdict.verdict for verdict in found.values()} == {Verdict.ROLLBACK}


def test_rows_that_come_twice_count_once(table: pa.Table, whole: dict[str, OfflineVerdict], tmp_path: Path) -> None:
    """Two exporters of one series, or a file that was joined with itself."""
    twice = pa.concat_tables([table, table])
    path = written(twice.take(pa.array(np.argsort(twice["t"].to_numpy(), kind="stable"))), tmp_path / "twice.parquet")
    assert gist(verdicts(path)) == gist(whole)


@pytest.mark.parametrize(("metric", "column"), [("errors", "bad"), ("latency", "count")])
def test_two_rows_that_contradict_each_other_are_refused(tmp_path: Path, metric: str, column: str) -> None:
    """To take either would be a guess; it says which pod and when, and what tells rows apart."""
    table = sample_table(generate(replace_situation(), runs=1, seed=4))
    late = table.filter(pc.and_(pc.equal(table["metric"], metric), pc.greater(table["t"], 0.0)))
    other = late.slice(0, 1)
    changed = pc.add(other[column], 1)
    other = other.set_column(other.column_names.index(column), column, changed.cast(other[column].type))
    both = pa.concat_tables([table, other])
    path = written(both.take(pa.array(np.argsort(both["t"].to_numpy(), kind="stable"))), tmp_path / "both.parquet")
    with pytest.raises(SamplesError, match="two rows that differ for ") as caught:
        verdicts(path)
    assert f"metric '{metric}', t " in caught.value.where
    assert f"column {column}" in caught.value.where
    assert "'stratum'" in caught.value.remedy


def test_a_canary_that_served_before_its_time_only_is_inconclusive(tmp_path: Path) -> None:
    """Rows of the canary at t <= 0 are not its own; without others there is nothing to judge."""
    table = sample_table(generate(replace_situation(), runs=1, seed=5))
    past = table.filter(pc.less_equal(table["t"], 0.0))
    canary = past.set_column(past.column_names.index("track"), "track", pa.array(["canary"] * len(past)))
    canary = canary.set_column(canary.column_names.index("pod"), "pod", pa.array(["c"] * len(past)))
    errors = canary.filter(pc.equal(canary["metric"], "errors"))
    _, first = np.unique(errors["t"].to_numpy(), return_index=True)
    rows = pa.concat_tables([past, errors.take(pa.array(first))])
    ordered = rows.take(pa.array(np.argsort(rows["t"].to_numpy(), kind="stable")))
    (found,) = verdicts(written(ordered, tmp_path / "early.parquet")).values()
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "nan" not in found.reason
