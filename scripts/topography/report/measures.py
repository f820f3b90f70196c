"""What is measured of the results of one scale, for themselves and for resamples of their runs.

Every measure is computed at once for the results themselves and for bootstrap resamples of the
runs: as a weighted statistic, whose weights are how often a run was drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from topography import storage
from topography.analysis.histories import read_histories
from topography.analysis.weight_statistics import ORIGIN_SETS, moments_of_runs
from topography.naming import by_folder_and_stem, split_set
from topography.report import claims

OVER_RUNS = "bootstrap over runs"
OVER_PAIRS = "Mann-Whitney effect size, bootstrap over the runs that pairs share"
NOTHING_RANDOM = "nothing random"


class NotMeasured(Exception):
    """The results do not hold what a measure needs; the message says what."""


@dataclass(frozen=True)
class Measurement:
    """values: [1 + R], of the results and of their resamples, or [1] where nothing is random.

    runs: how many runs each set has, the fewest; of pairs of runs, as many as are joined, or as
    there are pairs where that is less. method: how it was tested. p_value: two-sided, NaN where the
    method gives none. beside: what else a reader should know, which is not judged. fewest: runs
    without which there is no interval.
    """

    values: np.ndarray
    runs: int
    method: str
    p_value: float = np.nan
    beside: str = ""
    fewest: int = claims.FEWEST_RUNS

    def interval(self) -> tuple[tuple[float, float], str]:
        """The 95 % interval, and why there is none if so."""
        if len(self.values) == 1:
            return (float(self.values[0]),) * 2, ""
        low, high = claims.interval(self.values[1:], self.runs, self.fewest)
        if not np.isnan(low):
            return (low, high), ""
        if self.runs < self.fewest:
            return (low, high), f"fewer than {self.fewest} runs a side (or pairs of runs)"
        return (low, high), "too few pairs for resamples of the runs"


@dataclass(frozen=True)
class Results:
    """What one scale computed.

    selections, histories: by (architecture, optimizer). moments: by (architecture, set), mean and
    mean square of the weights of each run [n, 2]. products: by (architecture, set, set), inner
    products [n, m] of the weights of their runs, for the sets that define the centroids. lengths,
    projections: by architecture. barriers: by (landscape, architecture, set). paths_2d: the points
    of Fig. 3.
    """

    selections: Mapping[tuple[str, str], pd.DataFrame]
    histories: Mapping[tuple[str, str], pd.DataFrame]
    moments: Mapping[tuple[str, str], np.ndarray]
    products: Mapping[tuple[str, str, str], np.ndarray]
    lengths: Mapping[str, pd.DataFrame]
    projections: Mapping[str, pd.DataFrame]
    barriers: Mapping[tuple[str, str, str], pd.DataFrame]
    paths_2d: pd.DataFrame

    def kept(self, architecture: str, optimizer: str) -> pd.DataFrame:
        """Selection of the kept runs, best first: the order of the sets."""
        if (architecture, optimizer) not in self.selections:
            raise NotMeasured(f"{architecture} was not trained with {optimizer}")
        selection = self.selections[architecture, optimizer]
        return selection[selection["kept"]].sort_values("rank")

    def weights(self, architecture: str, optimizer: str) -> np.ndarray:
        """Weights [1 + R, n] of the kept runs: ones, then how often each resample drew a run.

        The same for both checkpoints of an optimizer, since they are of the same runs; different
        for two optimizers.
        """
        runs = len(self.kept(architecture, optimizer))
        return claims.resampled_runs(runs, f"{architecture}/{optimizer}")


def read_results(
    selections: Sequence[Path],
    histories: Sequence[Path],
    sets: Sequence[Path],
    lengths: Sequence[Path],
    projections: Sequence[Path],
    barriers: Sequence[Path],
    paths_2d: Path,
) -> Results:
    """Read the files of a scale; what they are about is told by where they lie.

    Raises:
        StorageError: a file is missing or damaged.
    """
    return Results(
        {names: storage.read_table(file) for names, file in by_folder_and_stem(selections).items()},
        read_histories(histories),
        {
            names: moments_of_runs(_weights(file))
            for names, file in by_folder_and_stem(sets).items()
        },
        _products(by_folder_and_stem(sets)),
        {file.stem: storage.read_table(file) for file in lengths},
        {file.stem: storage.read_table(file) for file in projections},
        {
            (file.parent.parent.name, file.parent.name, file.stem): storage.read_table(file)
            for file in barriers
        },
        storage.read_table(paths_2d, ["path", "penalty", "x", "y", "loss"]),
    )


def _products(files: Mapping[tuple[str, str], Path]) -> dict[tuple[str, str, str], np.ndarray]:
    """Inner products of the runs in `ORIGIN_SETS`; files: by (architecture, set)."""
    products = {}
    for architecture in {architecture for architecture, _ in files}:
        weights = {name: _weights(files[architecture, name]) for name in ORIGIN_SETS}
        for first, second in combinations_with_replacement(ORIGIN_SETS, 2):
            products[architecture, first, second] = weights[first] @ weights[second].T
    return products


def _weights(file: Path) -> np.ndarray:
    """Weights [n, P] of the runs of a set, float64."""
    return storage.read_tensors(file, {"weights": ["S", "P"]})["weights"].astype(np.float64)


def mean_loss(results: Results, architecture: str, of: str) -> Measurement:
    """Mean loss of a set over its runs, on the images that its checkpoint is chosen by."""
    means, runs, _ = _mean_losses(results, architecture, of)
    return Measurement(means, runs, OVER_RUNS)


def loss_ratio(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Mean loss of one set over that of another; Mann-Whitney test of the losses."""
    first, second = (_mean_losses(results, architecture, name) for name in of)
    return Measurement(
        first[0] / second[0],
        min(first[1], second[1]),
        f"{OVER_RUNS}; Mann-Whitney test",
        _mann_whitney(first[2], second[2]),
    )


def _mean_losses(
    results: Results, architecture: str, name: str
) -> tuple[np.ndarray, int, np.ndarray]:
    optimizer, checkpoint = split_set(name)
    losses = results.kept(architecture, optimizer)[f"{checkpoint}_loss"].to_numpy(float)
    means = claims.weighted_mean(losses, results.weights(architecture, optimizer))
    return means, len(losses), losses


def weight_mean(results: Results, architecture: str, of: str) -> Measurement:
    """Mean of all weights of a set."""
    moments, runs = _pooled_moments(results, architecture, of)
    return Measurement(moments[:, 0], runs, OVER_RUNS)


def weight_deviation(results: Results, architecture: str, of: str) -> Measurement:
    """Standard deviation of all weights of a set."""
    moments, runs = _pooled_moments(results, architecture, of)
    return Measurement(_deviation(moments), runs, OVER_RUNS)


def deviation_ratio(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Standard deviation of all weights of one set over that of another."""
    first, second = (_pooled_moments(results, architecture, name) for name in of)
    ratio = _deviation(first[0]) / _deviation(second[0])
    return Measurement(ratio, min(first[1], second[1]), OVER_RUNS)


def _pooled_moments(results: Results, architecture: str, name: str) -> tuple[np.ndarray, int]:
    """Mean and mean square [1 + R, 2] of all weights of a set, and its number of runs."""
    weights = results.weights(architecture, split_set(name)[0])
    moments = results.moments[architecture, name]
    return weights @ moments / weights.sum(axis=1, keepdims=True), len(moments)


def _deviation(moments: np.ndarray) -> np.ndarray:
    return np.sqrt(moments[:, 1] - moments[:, 0] ** 2)


def late_rise(results: Results, architecture: str, of: str) -> Measurement:
    """Mean over the runs of an optimizer of the last test loss over the lowest."""
    if (architecture, of) not in results.histories:
        raise NotMeasured(f"there are no loss curves of {architecture} with {of}")
    seeds = results.kept(architecture, of)["seed"]
    curves = results.histories[architecture, of]
    last = curves.loc[curves.groupby("seed")["epoch"].idxmax()].set_index("seed")["test_loss"]
    rises = (last / curves.groupby("seed")["test_loss"].min()).loc[seeds].to_numpy(float)
    means = claims.weighted_mean(rises, results.weights(architecture, of))
    return Measurement(means, len(rises), OVER_RUNS)


def lower_barriers(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Probability that a path of the first set is lower than one of the second, on a landscape.

    Judged are heights, as in the paper, which hold the losses of the ends; beside stands the same
    of barriers above the ends. There is no p-value: pairs that share runs are not independent, as
    the test would have it.
    """
    landscape, *names = of
    tables, weights = [], []
    for name in names:
        if (landscape, architecture, name) not in results.barriers:
            raise NotMeasured(f"{name} was not joined on the {landscape} landscape")
        table = results.barriers[landscape, architecture, name]
        counts = results.weights(architecture, split_set(name)[0])
        weights.append(claims.pair_counts(counts, table["i"].to_numpy(), table["j"].to_numpy()))
        tables.append(table)

    def probability(column: str) -> np.ndarray:
        first, second = (table[column].to_numpy(float) for table in tables)
        return claims.probability_of_superiority(second, first, weights[1], weights[0])

    runs = min(claims.independent(table) for table in tables)
    same = len({split_set(name)[0] for name in names}) == 1
    fewest = claims.FEWEST_OF_THE_SAME_RUNS if same else claims.FEWEST_RUNS
    barriers = Measurement(probability("barrier"), runs, OVER_PAIRS, fewest=fewest)
    (low, high), _ = barriers.interval()
    beside = f"above the ends {barriers.values[0]:.3g}"
    if not np.isnan(low):
        beside += f" [{low:.3g}, {high:.3g}]"
    return Measurement(probability("height"), runs, OVER_PAIRS, beside=beside, fewest=fewest)


def longer_vectors(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Probability that a vector of the first set is longer than one of the second.

    Lengths are measured from the common origin, which the resamples leave where it is.
    """
    table = results.lengths[architecture]
    lengths = [_by_run(results, architecture, table, name, "length") for name in of]
    weights = [results.weights(architecture, split_set(name)[0]) for name in of]
    return _superiority(lengths, weights)


def length_gap(results: Results, architecture: str, of: Sequence[Sequence[str]]) -> Measurement:
    """By how much vectors of one set are longer than those of another, over the same for two sets.

    of: both pairs of sets. Lengths are means, from the common origin.
    """
    gaps = [
        _mean_lengths(results, architecture, longer) - _mean_lengths(results, architecture, shorter)
        for longer, shorter in of
    ]
    runs = _fewest_runs(results, architecture, [name for pair in of for name in pair])
    return Measurement(gaps[0] / gaps[1], runs, OVER_RUNS)


def centroid_distance(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Distance between the centroids of both optimizers' test sets over the mean vector length.

    Networks scatter about their centroid by nearly their whole length, so that the centroids of n
    a side lie sqrt(2 / n) of it apart by chance alone. That share is left out: of the products that
    make up |c - c'|^2 those of a network with itself, or with the one of the same seed, which
    started from the same weights. The origin that lengths are measured from stays where it is.
    """
    means = [_mean_lengths(results, architecture, name) for name in of]
    first, second = ORIGIN_SETS
    squared = (
        _mean_product(results, architecture, first, first)
        + _mean_product(results, architecture, second, second)
        - 2 * _mean_product(results, architecture, first, second)
    )
    distances = np.sqrt(np.maximum(squared, 0.0))
    runs = _fewest_runs(results, architecture, of)
    return Measurement(distances / (sum(means) / len(means)), runs, OVER_RUNS)


def _mean_lengths(results: Results, architecture: str, name: str) -> np.ndarray:
    """Mean length [1 + R] of the vectors of a set, from the common origin."""
    lengths = _by_run(results, architecture, results.lengths[architecture], name, "length")
    return claims.weighted_mean(lengths, results.weights(architecture, split_set(name)[0]))


def _fewest_runs(results: Results, architecture: str, names: Sequence[str]) -> int:
    """How many runs each of some sets has, the fewest."""
    return min(len(results.kept(architecture, split_set(name)[0])) for name in names)


def _mean_product(results: Results, architecture: str, first: str, second: str) -> np.ndarray:
    """Mean [1 + R] of the products of two sets' runs, over pairs of different seeds."""
    optimizers = [split_set(name)[0] for name in (first, second)]
    seeds = [results.kept(architecture, name)["seed"].to_numpy() for name in optimizers]
    weights = [results.weights(architecture, name) for name in optimizers]
    different = seeds[0][:, None] != seeds[1]
    products = results.products[architecture, first, second] * different
    with np.errstate(invalid="ignore"):
        return claims.weighted_sum_over_both(products, *weights) / claims.weighted_sum_over_both(
            different, *weights
        )


def separation(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Area under the ROC curve of telling two sets apart along a principal component, 0.5 to 1.

    The sign of a component is free, so areas below 0.5 are counted from the other side. Resamples
    leave the components where they are.
    """
    comparison, kernel, component = of
    chosen = _projections(results, architecture, comparison, kernel)
    values, weights = [], []
    for name in comparison.split("-"):
        values.append(chosen.loc[chosen["set"] == name, component].to_numpy(float))
        purpose = f"{architecture}/{split_set(name)[0]}"
        weights.append(claims.resampled_runs(len(values[-1]), purpose))
    area = _superiority(values, weights)
    folded = np.maximum(area.values, 1 - area.values)
    return replace(area, values=folded, fewest=claims.FEWEST_PROJECTED)


def separation_difference(results: Results, architecture: str, of: Sequence[str]) -> Measurement:
    """Separation along the first principal component less that along the second."""
    first, second = (separation(results, architecture, [*of, name]) for name in ("pc1", "pc2"))
    return Measurement(
        first.values - second.values, first.runs, OVER_RUNS, fewest=claims.FEWEST_PROJECTED
    )


def separation_advantage(results: Results, architecture: str, of: Sequence[Any]) -> Measurement:
    """Separation along the first component of one kernel less the highest of some others.

    of: comparison, kernel, and the other kernels.
    """
    comparison, kernel, others = of
    ours, *theirs = (
        separation(results, architecture, [comparison, name, "pc1"]) for name in (kernel, *others)
    )
    highest = np.max([other.values for other in theirs], axis=0)
    return Measurement(ours.values - highest, ours.runs, OVER_RUNS, fewest=claims.FEWEST_PROJECTED)


def _projections(results: Results, architecture: str, comparison: str, kernel: str) -> pd.DataFrame:
    table = results.projections[architecture]
    chosen = table[(table["comparison"] == comparison) & (table["kernel"] == kernel)]
    if len(chosen) == 0:
        raise NotMeasured(f"kernel_pca.kernels lacks {kernel}")
    return chosen


def _by_run(
    results: Results, architecture: str, table: pd.DataFrame, name: str, column: str
) -> np.ndarray:
    """A column of a table of runs, for one set, in the order of its runs."""
    seeds = results.kept(architecture, split_set(name)[0])["seed"]
    return table[table["set"] == name].set_index("seed")[column].loc[seeds].to_numpy(float)


def _superiority(values: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> Measurement:
    """Probability that a value of the first set exceeds one of the second; Mann-Whitney test."""
    return Measurement(
        claims.probability_of_superiority(*values, *weights),
        min(map(len, values)),
        f"Mann-Whitney effect size, {OVER_RUNS}",
        _mann_whitney(*values),
    )


def _mann_whitney(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import mannwhitneyu  # here: seconds to import, not for the page

    return float(mannwhitneyu(first, second).pvalue)


def height_2d(results: Results, architecture: str, of: float | str) -> Measurement:
    """Height of a path of the example in two dimensions."""
    return Measurement(np.array([_path_2d(results, of)["loss"].max()]), 1, NOTHING_RANDOM)


def height_range_2d(results: Results, architecture: str, of: Sequence[float]) -> Measurement:
    """Highest less lowest height of several such paths, over their mean."""
    heights = np.array([_path_2d(results, penalty)["loss"].max() for penalty in of])
    return Measurement(np.array([np.ptp(heights) / heights.mean()]), 1, NOTHING_RANDOM)


def step_ratio_2d(results: Results, architecture: str, of: Sequence[float]) -> Measurement:
    """Longest step between neighbouring points of one such path over that of another."""
    longest = [
        np.linalg.norm(np.diff(_path_2d(results, penalty)[["x", "y"]], axis=0), axis=1).max()
        for penalty in of
    ]
    return Measurement(np.array([longest[0] / longest[1]]), 1, NOTHING_RANDOM)


def _path_2d(results: Results, penalty: float | str) -> pd.DataFrame:
    table = results.paths_2d
    chosen = table[
        table["path"] == penalty if isinstance(penalty, str) else table["penalty"] == penalty
    ]
    if len(chosen) == 0:
        raise NotMeasured(f"landscape_2d.penalties lacks {penalty}")
    return chosen


MEASURES: dict[str, Callable[[Results, str, Any], Measurement]] = {
    measure.__name__: measure
    for measure in (
        mean_loss,
        loss_ratio,
        weight_mean,
        weight_deviation,
        deviation_ratio,
        late_rise,
        lower_barriers,
        longer_vectors,
        length_gap,
        centroid_distance,
        separation,
        separation_difference,
        separation_advantage,
        height_2d,
        height_range_2d,
        step_ratio_2d,
    )
}
