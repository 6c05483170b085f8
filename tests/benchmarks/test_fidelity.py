"""Statistics of streams on processes whose values are known, and what the document shows of them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detection.__main__ import DATA
from benchmarks.detection.real.reading import FILES
from benchmarks.environment import ROOT
from benchmarks.fidelity import __main__ as command
from benchmarks.fidelity import statistics as st
from benchmarks.fidelity.cases import CASES, steady
from benchmarks.fidelity.streams import Stream, apart, llm, nezha, nginx, played, replay
from benchmarks.fidelity.table import beside, measured, sheets
from benchmarks.marks import with_parts
from benchmarks.progress import PlainReporter

LONG = 20_000


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers every time."""
    return np.random.default_rng(20261122)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with the columns of the real ones, and a few rows whose figures can be checked by hand."""
    place = tmp_path_factory.mktemp("data")
    told: dict[str, list[dict[str, object]]] = {name: [] for name in FILES}
    told["azure_llm_10s.csv"] = [{"time_s": 10 * bin_, "requests": 20 + bin_ % 3 * 10} for bin_ in range(12)]
    told["nginx_org_5s.csv"] = [
        {"time_s": 5.1 * bin_, "group": "ALL", "requests": 8, "errors_5xx": 1, "errors_4xx": bin_} for bin_ in range(5)
    ]
    told["nezha_10s.csv"] = [
        {"case": case, "fault": "f", "time_s": -10 * bin_, "group": group, "requests": bin_, "errors": 1}
        for case, bins in (("long", 10), ("short", 3))
        for bin_ in range(bins)
        for group in ("canary", "stable")
    ]
    for name, rows in told.items():
        with (place / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FILES[name], restval="")
            writer.writeheader()
            writer.writerows(rows)
    return place


def _ar1(rng: np.random.Generator, rho: float, shape: tuple[int, ...]) -> st.Floats:
    values = rng.standard_normal(shape)
    for row in range(1, shape[0]):
        values[row] = rho * values[row - 1] + np.sqrt(1 - rho**2) * values[row]
    return values


def test_poisson_counts_have_dispersion_one_and_no_correlation(rng: np.random.Generator) -> None:
    """At any width of the bins."""
    counts = rng.poisson(7.0, LONG).astype(float)
    assert st.dispersion(counts) == pytest.approx(1.0, abs=0.05)
    assert st.dispersion(st.summed(counts, 6)) == pytest.approx(1.0, abs=0.1)
    assert st.autocorrelation(counts, 1) == pytest.approx(0.0, abs=0.03)


def test_gamma_mixed_counts_have_the_dispersion_of_their_mixture(rng: np.random.Generator) -> None:
    """Negative binomial counts of shape k and mean m vary 1 + m / k times as much as they should."""
    counts = rng.negative_binomial(4.0, 4.0 / (4.0 + 12.0), LONG).astype(float)
    assert st.dispersion(counts) == pytest.approx(4.0, rel=0.05)


def test_regular_counts_have_no_dispersion() -> None:
    """A probe that asks once a bin."""
    assert st.dispersion(np.ones(100)) == 0.0
    assert np.isnan(st.autocorrelation(np.ones(100), 1))


def test_an_autoregression_has_the_powers_of_its_coefficient(rng: np.random.Generator) -> None:
    """AR(1): rho at one bin, rho ** 6 at six."""
    values = _ar1(rng, 0.9, (LONG,))
    assert st.autocorrelation(values, 1) == pytest.approx(0.9, abs=0.02)
    assert st.autocorrelation(values, 6) == pytest.approx(0.9**6, abs=0.06)


def test_independent_failures_have_dispersion_one(rng: np.random.Generator) -> None:
    """Of one series, and of several with shares of their own; one without errors changes nothing."""
    requests = rng.poisson(200.0, (4000, 3)).astype(float)
    errors = rng.binomial(requests.astype(int), [0.01, 0.05, 0.0]).astype(float)
    assert st.binomial_dispersion(errors[:, 0], requests[:, 0]) == pytest.approx(1.0, abs=0.08)
    assert st.binomial_dispersion(errors, requests) == pytest.approx(1.0, abs=0.06)
    assert np.isnan(st.binomial_dispersion(errors[:, 2], requests[:, 2]))


def test_failures_in_clusters_have_the_dispersion_of_their_mixture(rng: np.random.Generator) -> None:
    """Beta-binomial with correlation r among n requests: 1 + (n - 1) r."""
    share = rng.beta(0.5, 9.5, LONG)
    errors = rng.binomial(101, share).astype(float)
    expected = 1.0 + 100.0 / (0.5 + 9.5 + 1.0)
    assert st.binomial_dispersion(errors, np.full(LONG, 101.0)) == pytest.approx(expected, rel=0.06)


def test_the_largest_cluster_is_a_share_of_all_errors() -> None:
    """Half of a day's errors may be in one bin."""
    assert st.largest_cluster(np.array([1.0, 5.0, 4.0])) == 0.5
    assert np.isnan(st.largest_cluster(np.zeros(3)))


def test_fisher_keeps_its_level_where_failures_are_independent_only(rng: np.random.Generator) -> None:
    """Not more than 1 % there, far more where each bin has a rate of its own."""
    requests = np.full(9000, 500.0)
    independent = rng.binomial(500, 0.02, 9000).astype(float)
    clustered = rng.binomial(500, 0.02 * np.exp(rng.standard_normal(9000) - 0.5)).astype(float)
    assert st.false_alarms(independent, requests, window=3, before=12) < 0.013
    assert st.false_alarms(clustered, requests, window=3, before=12) > 0.2


def test_lasting_differences_are_told_from_passing_ones(rng: np.random.Generator) -> None:
    """Between units, within them, and how much of it stays: s2 / (s2 + w2 / half)."""
    levels = 0.1 * rng.standard_normal(400) + 0.45 * rng.standard_normal((240, 400))
    assert st.between_sd(levels) == pytest.approx(np.hypot(0.1, 0.45 / 240**0.5), rel=0.1)
    assert st.within_sd(levels) == pytest.approx(0.45, rel=0.02)
    assert st.lasting(levels) == pytest.approx(0.01 / (0.01 + 0.45**2 / 120), abs=0.05)
    assert st.lasting(0.45 * rng.standard_normal((240, 400))) == pytest.approx(0.0, abs=0.15)


def test_equal_units_differ_at_the_level_and_unequal_ones_more_with_more_points(rng: np.random.Generator) -> None:
    """Pairs of Mann and Whitney at 2 %."""
    equal = rng.standard_normal((120, 60))
    unequal = equal + 0.25 * rng.standard_normal(60)
    assert st.differing_pairs(equal, points=120) == pytest.approx(0.02, abs=0.012)
    assert st.differing_pairs(unequal, points=30) < st.differing_pairs(unequal, points=120)


def test_machines_slower_than_the_median_by_a_tenth() -> None:
    """Log latencies; 10 % more time, not 10 % less speed."""
    assert st.much_slower(np.log([[1.0, 1.0, 1.0, 1.09, 1.11]])) == pytest.approx(0.2)


def test_a_simulated_history_has_the_rate_the_errors_and_the_spread_it_was_told() -> None:
    """Without noise it is Poisson and binomial; with a spread pods differ by it."""
    seen = played(steady(20.0, errors={"share": 0.05}), bins=1200, every=10.0, seed=1, bin_=2)
    assert seen.requests.shape == (1200,)
    assert seen.requests.mean() == pytest.approx(400.0, rel=0.01)
    assert seen.errors.sum() / seen.requests.sum() == pytest.approx(0.05, rel=0.05)
    assert st.dispersion(seen.requests) == pytest.approx(1.0, abs=0.1)
    pods = apart(steady(4e5, stable=400, latency={"spread": 0.1}), bins=2, every=10.0, seed=1)
    assert st.between_sd(pods.levels) == pytest.approx(0.1, rel=0.1)
    assert st.within_sd(pods.levels) < 0.01


def test_a_replay_has_the_arrivals_of_the_file(folder: Path) -> None:
    """By 10 s the means of the bins themselves, by the minute those of six."""
    assert replay(folder)["series"][:3] == [(0.0, 2.0), (10.0, 3.0), (20.0, 4.0)]
    assert replay(folder, bins=6)["series"] == [(0.0, 3.0), (60.0, 3.0)]
    runs = [played({"traffic": replay(folder)}, bins=12, every=10.0, seed=seed).requests for seed in range(200)]
    # a pod's scrapes lie up to 9 s within the bin, so neighbours mix; the mean stays
    assert np.mean(runs) == pytest.approx(30.0, rel=0.03)


def test_real_files_are_read_as_streams(folder: Path) -> None:
    """Counts in the order of time; two bins of 5 s together; of nezha only what is long enough, before its faults."""
    assert llm(folder).requests[:4].tolist() == [20, 30, 40, 20]
    assert nginx(folder, group="ALL").errors.tolist() == [3, 7]
    before = nezha(folder)
    assert before.requests.T.tolist() == [[16, 14, 12, 10, 8, 6, 4, 2]]
    assert before.errors.T.tolist() == [[2] * 8]


def test_a_real_value_lies_among_the_seeds_or_not() -> None:
    """The ratio is that of the median, with an interval; none where the sign is unsure."""
    values = [1.0 + step / 100 for step in range(101)]
    near, far, sign = beside(1.2, values), beside(3.0, values), beside(0.1, [-1.0, 0.5, 1.0] * 5)
    assert (near["simulated"], near["ratio"], near["inside"]) == (1.5, 1.25, True)
    assert near["ratio_low"] < 1.25 < near["ratio_high"]  # type: ignore[operator]  # numbers, where there is a ratio
    assert (far["ratio"], far["inside"]) == (0.5, False)
    assert sign["ratio"] is None


def test_a_case_becomes_rows_and_rows_a_table(folder: Path) -> None:
    """Each world stands beside the real value of each statistic."""
    case = next(one for one in CASES if one.file == "azure_llm_10s.csv")
    rows = measured(folder, seeds=3, reporter=PlainReporter("streams"), cases=[case])
    assert len(rows) == 4 * 4
    real = [row["real"] for row in rows if row["statistic"] == "variance/mean, 10 s"]
    assert real == pytest.approx([st.dispersion(llm(folder).requests)] * 4, rel=1e-3)
    (sheet,) = sheets(rows)
    assert [name for name, _ in sheet.rows[:4]] == ["variance/mean, 10 s"] * 4
    assert [entries[0].text for _, entries in sheet.rows[:2]] == ["plain", "noise {sd: 0.25, memory: 0.97}"]


def test_the_document_shows_what_the_result_file_holds() -> None:
    """`python -m benchmarks.fidelity --docs` was run after the last result was written."""
    text = command.DOCUMENT.read_text(encoding="utf-8")
    result = command.collected(command.parse(["--show"]))
    assert with_parts(text, {"fidelity": command.tables(result)}, document="fidelity.md") == text


def test_the_settings_that_are_advised_are_those_that_match() -> None:
    """Each setting of the scenario guide is a world of the result, in which the dispersion lies among the seeds."""
    guide = (ROOT / "docs" / "scenarios" / "README.md").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = command.collected(command.parse(["--show"]))["rows"]
    for world in ("{sd: 0.25, memory: 0.97}", "{sd: 0.045, memory: 0.96}", "{sd: 0.85, memory: 0}"):
        own = [one for one in rows if world in one["world"] and one["statistic"].startswith("variance/mean")]
        assert world in guide
        assert len(own) >= 2
        assert all(one["inside"] for one in own)
    bursts = [one for one in rows if "bursts {sd: 1.8, memory: 0.93}" in one["world"] and "err" in one["statistic"]]
    assert "bursts: {sd: 1.8, memory: 0.93}" in guide
    assert len(bursts) == 4
    assert all(one["inside"] for one in bursts)


def test_files_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 2, and nothing is written."""
    assert command.main(["--data", str(tmp_path)]) == 2
    assert "lacks petshop_aa.csv" in capsys.readouterr().err


def test_without_data_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not measure half of it."""
    monkeypatch.delenv(DATA, raising=False)
    assert command.main([]) == 2
    assert "give --data FOLDER" in capsys.readouterr().err


def test_a_stream_without_a_part_has_none() -> None:
    """Machines have levels only."""
    assert Stream(levels=np.zeros((1, 2))).requests.size == 0
