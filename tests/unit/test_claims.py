"""Claims: bands, intervals and verdicts, against plain loops, SciPy and known truths."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from topography.report import claims


@pytest.mark.parametrize(
    ("value", "tolerance", "expected"),
    [
        (-2.0, {"absolute": 0.5}, (-2.5, -1.5)),
        (-2.0, {"relative": 0.5}, (-3.0, -1.0)),
        (6.0, {"factor": 3}, (2.0, 18.0)),
    ],
)
def test_bands(value, tolerance, expected):
    assert claims.band(value, tolerance) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "tolerance"),
    [
        (1, {}),
        (1, {"relativ": 0.1}),
        (1, {"absolute": 1, "factor": 2}),
        (-1, {"factor": 2}),
        (1, {"absolute": "wide"}),
    ],
)
def test_a_tolerance_that_means_nothing_is_refused(value, tolerance):
    with pytest.raises(claims.ClaimError, match="absolute, relative or"):
        claims.band(value, tolerance)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.2, 1.8, claims.AGREES),
        (1.0, 2.0, claims.AGREES),
        (0.8, 1.2, claims.INCONCLUSIVE),
        (0.5, 2.5, claims.INCONCLUSIVE),
        (0.1, 0.9, claims.DIFFERS),
        (2.1, 2.2, claims.DIFFERS),
        (np.nan, np.nan, claims.INCONCLUSIVE),
    ],
)
def test_verdicts(low, high, expected):
    assert claims.verdict(low, high, (1.0, 2.0)) == expected


def test_a_mean_has_the_interval_of_scipy():
    values = np.random.default_rng(0).lognormal(size=30)
    counts = claims.resampled_runs(30, "mean", 20_000)[1:]
    ours = claims.interval(claims.weighted_mean(values, counts), runs=30)
    tail = stats.norm.cdf(-np.sqrt(30 / 29) * stats.t.ppf(0.975, 29))
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=20_000,
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.02)


@pytest.mark.parametrize(("runs", "least"), [(4, 0.85), (8, 0.92)])
def test_the_interval_of_few_runs_covers_nearly_as_often_as_it_says(runs, least):
    """0.87 and 0.94; plain percentiles 0.80 and 0.89. 3000 trials tell that to 0.006."""
    generator = np.random.default_rng(0)
    covered, trials = 0, 3000
    for trial in range(trials):
        values = generator.normal(size=runs)
        counts = claims.resampled_runs(runs, f"trial {trial}", 500)[1:]
        low, high = claims.interval(claims.weighted_mean(values, counts), runs)
        covered += low <= 0 <= high
    assert covered / trials >= least


def test_of_many_runs_the_interval_is_that_between_percentiles():
    values = np.random.default_rng(0).normal(size=1000)
    expected = tuple(np.quantile(values, [0.025, 0.975]))
    assert claims.interval(values, runs=100_000) == pytest.approx(expected, abs=1e-3)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_the_effect_size_is_that_of_mann_whitney(first, second):
    ones = [np.ones((1, len(values))) for values in (first, second)]
    ours = claims.probability_of_superiority(np.array(first), np.array(second), *ones)
    expected = stats.mannwhitneyu(first, second).statistic / (len(first) * len(second))
    assert ours == pytest.approx([expected])


def test_a_run_that_was_drawn_twice_counts_twice_in_an_effect_size():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=6), generator.normal(0.5, 1, size=9)
    counts = [generator.integers(4, size=(30, len(values))) for values in (first, second)]
    ours = claims.probability_of_superiority(first, second, *(c.astype(float) for c in counts))
    for row, value in enumerate(ours):
        drawn = [
            np.repeat(values, times[row])
            for values, times in zip((first, second), counts, strict=True)
        ]
        expected = stats.mannwhitneyu(*drawn).statistic / (len(drawn[0]) * len(drawn[1]))
        assert value == pytest.approx(expected)
    assert len(np.unique(ours)) > 20


def test_counts_of_pairs_are_those_of_runs_drawn_one_by_one():
    generator = np.random.default_rng(0)
    i, j = np.triu_indices(5, k=1)
    heights = generator.normal(size=10)
    height = {(a, b): h for a, b, h in zip(i, j, heights, strict=True)}
    for _ in range(20):
        drawn = generator.integers(5, size=5)
        pairs = [
            tuple(sorted((drawn[a], drawn[b])))
            for a in range(5)
            for b in range(a + 1, 5)
            if drawn[a] != drawn[b]
        ]
        counts = np.bincount(drawn, minlength=5)[None].astype(float)
        ours = claims.weighted_mean(heights, claims.pair_counts(counts, i, j))
        assert ours == pytest.approx([np.mean([height[pair] for pair in pairs])])


def test_the_interval_over_runs_covers_what_one_over_pairs_misses():
    """Barriers that runs share: height = a_i + a_j, with true mean 0."""
    generator = np.random.default_rng(0)
    runs, resamples, trials = 24, 400, 150
    i, j = np.triu_indices(runs, k=1)
    covered = {"runs": 0, "pairs": 0}
    for trial in range(trials):
        effects = generator.normal(size=runs)
        heights = effects[i] + effects[j]
        counts = claims.resampled_runs(runs, f"runs {trial}", resamples)[1:]
        by_run = claims.pair_counts(counts, i, j)
        by_pair = claims.resampled_runs(len(i), f"pairs {trial}", resamples)[1:]
        for name, weights in (("runs", by_run), ("pairs", by_pair)):
            low, high = claims.interval(claims.weighted_mean(heights, weights), runs)
            covered[name] += low <= 0 <= high
    # 150 trials tell 95 % to 2 % (one sigma).
    assert covered["runs"] / trials > 0.89
    assert covered["pairs"] / trials < 0.75


def test_fewer_than_four_runs_have_no_interval():
    assert np.isnan(claims.interval(np.ones(10), 3)).all()
    assert np.isnan(claims.interval(np.ones(10), 1)).all()


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [([(0, 1), (2, 3), (4, 5)], 3), ([(0, 1), (0, 2), (1, 2)], 3), ([(0, 4)], 1)],
)
def test_pairs_are_no_more_independent_than_they_or_their_runs_are(pairs, expected):
    assert claims.independent(pd.DataFrame(pairs, columns=["i", "j"])) == expected


def test_resamples_draw_as_many_runs_as_there_are_and_others_for_another_purpose():
    counts = claims.resampled_runs(6, "sgd", 50)
    assert counts.shape == (51, 6)
    assert (counts[0] == 1).all() and (counts.sum(axis=1) == 6).all()
    assert np.array_equal(counts, claims.resampled_runs(6, "sgd", 50))
    assert not np.array_equal(counts, claims.resampled_runs(6, "lbfgs", 50))


def test_resamples_without_any_pair_are_left_out_until_they_are_most():
    assert claims.interval(np.array([1.0, 1.0, 1.0, np.nan]), 4) == (1.0, 1.0)
    assert np.isnan(claims.interval(np.array([1.0, np.nan, np.nan]), 4)).all()
    assert np.isnan(claims.weighted_mean(np.ones(2), np.zeros((1, 2)))).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- id: a", "list `claims`"),
        ("claims: [{id: a}]", "lacks"),
        ("claims: [{id: a, measure: m, rang: 1}]", "rang"),
        ("claims: [{id: a, measure: m}, {id: a, measure: m}]", "another claim"),
        ("claims: [{id: 1, measure: m}]", "no text"),
        ("claims: [{id: [a], measure: m}]", "no text"),
        ("claims: [{id: a, measure: m, 3: 4}]", "unknown keys"),
        ("claims: [{id: a, measure: m}, null]", "Claim 2 .* no mapping"),
        ("claims: [id]", "Claim 1 .* no mapping"),
        ("claims: [", "Cannot read"),
    ],
)
def test_a_file_of_claims_with_an_error_is_refused(tmp_path: Path, text, message):
    file = tmp_path / "claims.yaml"
    file.write_text(text)
    with pytest.raises(claims.ClaimError, match=message):
        claims.read_claims(file, ["id", "measure"], ["range"])
