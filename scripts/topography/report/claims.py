"""Claims of a paper as data: how they are read, resampled and judged.

A claim says what is measured and in which range the measurement must lie, before anything is run. A
verdict compares that range with an interval, not with a single number: agreement must be shown.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from topography import seeding
from topography.errors import TopographyError

AGREES = "agrees"
DIFFERS = "differs"
INCONCLUSIVE = "inconclusive"
NOT_COMPARABLE = "not comparable at this scale"
VERDICTS = (AGREES, DIFFERS, INCONCLUSIVE, NOT_COMPARABLE)

LEVEL = 0.95
RESAMPLES = 20_000
RESAMPLING_SEED = 0
# With three runs a side, even a complete separation has p = 0.1 in a two-sided Mann-Whitney test.
FEWEST_RUNS = 4
# Where both sides are of the same runs, five that all tell the same have p = 0.06 in a sign test.
FEWEST_OF_THE_SAME_RUNS = 6
# As many as the paper projects. Independent vectors as long as the networks of FCP are told apart
# by a first kernel principal component if there are 48 a side, but not if there are 32.
FEWEST_PROJECTED = 48
UNBOUNDED = 1e9  # how files of claims write "no upper limit"


class ClaimError(TopographyError):
    """The file of claims cannot be used."""


def read_claims(path: Path, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """Content of a file of claims, a mapping with the list ``claims`` in it.

    required, optional: keys of a claim. ``id`` must be unique; other keys are an error, so that a
    typing error cannot loosen a claim.

    Raises:
        ClaimError: the file is missing, is not YAML, or a claim is not a mapping, has missing or
            unknown keys, or no id of its own.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimError(f"Cannot read the claims in {path}: {error}. Correct that file.") from None
    if not isinstance(content, Mapping) or not isinstance(content.get("claims"), list):
        raise ClaimError(f"{path} holds no list `claims`. Add it; see config/claims.yaml.")
    seen: set[str] = set()
    for number, claim in enumerate(content["claims"], start=1):
        problem = _problem(claim, seen, required, optional)
        if problem:
            name = claim.get("id", number) if isinstance(claim, Mapping) else number
            raise ClaimError(f"Claim {name} in {path} {problem}. Correct the claim.")
        seen.add(claim["id"])
    return dict(content)


def _problem(
    claim: Any, seen: set[str], required: Sequence[str], optional: Sequence[str]
) -> str | None:
    """What is wrong with the form of a claim, after those with the ids seen."""
    if not isinstance(claim, Mapping):
        return f"is no mapping of keys to values, but {claim!r}"
    if missing := [key for key in required if key not in claim]:
        return f"lacks {missing}"
    if unknown := sorted(map(str, set(claim) - {*required, *optional})):
        return f"has unknown keys {unknown}"
    if not isinstance(claim["id"], str):
        return "has an id that is no text"
    return "has the id of another claim" if claim["id"] in seen else None


def band(value: float, tolerance: Mapping[str, float]) -> tuple[float, float]:
    """Range of measurements that count as the published ``value``.

    tolerance: one of ``absolute`` (value ± it), ``relative`` (± that fraction of the value) and
    ``factor`` (from value / factor to value * factor, for a value above 0).

    Raises:
        ClaimError: another tolerance, or more than one.
    """
    match dict(tolerance):
        case {"absolute": float() | int() as width, **rest} if not rest:
            return value - width, value + width
        case {"relative": float() | int() as fraction, **rest} if not rest:
            return value - fraction * abs(value), value + fraction * abs(value)
        case {"factor": float() | int() as factor, **rest} if not rest and value > 0:
            return value / factor, value * factor
    raise ClaimError(
        f"The tolerance {dict(tolerance)} of the value {value} is not one of absolute, relative or "
        "(for a value above 0) factor, with a number. Correct it in config/claims.yaml."
    )


def interval(resampled: np.ndarray, runs: int, fewest: int = FEWEST_RUNS) -> tuple[float, float]:
    """Bootstrap interval of resampled values [R] of so many runs; NaN values are left out.

    Percentiles, further out for few runs: those that a normal distribution has where Student's t
    with runs - 1 degrees of freedom has its own, sqrt(runs / (runs - 1)) times as far. Resamples
    spread less than samples do, by that factor, and how much they spread is itself uncertain
    (Hesterberg 2015, "expanded percentile interval").

    NaN twice where there is no interval: for fewer than the `fewest` runs, or where more than half
    of the values are NaN.
    """
    from scipy.special import ndtr, stdtrit  # here: not for the page

    known = resampled[~np.isnan(resampled)]
    if runs < fewest or 2 * len(known) < len(resampled):
        return np.nan, np.nan
    distance = np.sqrt(runs / (runs - 1)) * stdtrit(runs - 1, (1 + LEVEL) / 2)
    low, high = np.quantile(known, [ndtr(-distance), ndtr(distance)])
    return float(low), float(high)


def verdict(low: float, high: float, allowed: tuple[float, float]) -> str:
    """Agrees if all of the interval from low to high is allowed, differs if nothing of it is.

    In between, or without an interval (NaN), the measurement decides nothing.
    """
    if np.isnan([low, high]).any():
        return INCONCLUSIVE
    if allowed[0] <= low and high <= allowed[1]:
        return AGREES
    return DIFFERS if high < allowed[0] or low > allowed[1] else INCONCLUSIVE


# Resampling ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)  # a report asks for each of its sets again and again
def resampled_runs(runs: int, purpose: str, resamples: int = RESAMPLES) -> np.ndarray:
    """Ones, then how often each bootstrap resample draws each run: float64 [1 + R, runs].

    With a row as weights, a weighted statistic of the runs is that of the sample itself (the first
    row) or of a resample. The draws depend on the number of runs and on ``purpose`` alone.
    """
    generator = seeding.numpy_generator(RESAMPLING_SEED, f"resamples/{purpose}")
    counts = generator.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    weights = np.concatenate([np.ones((1, runs)), counts])
    weights.flags.writeable = False  # all who ask for it share it
    return weights


def pair_counts(counts: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """How often each pair occurs among resampled runs: the product of its runs' counts.

    Resampling runs, not pairs, respects that pairs share runs: a run with high barriers raises all
    pairs it belongs to. A resampled run has no pair with its own copy.

    counts: [R, runs]; i, j: the two runs of each pair [pairs]. Returns [R, pairs].
    """
    return counts[:, i] * counts[:, j]


def joined_runs(pairs: pd.DataFrame) -> np.ndarray:
    """The runs that some pairs, in columns i and j, join."""
    return np.unique(pairs[["i", "j"]])


def independent(pairs: pd.DataFrame) -> int:
    """How many values of pairs, in columns i and j, can be independent at most: as many as there
    are runs that they join, or pairs. A mean of three pairs has no better interval than of three
    runs, however many these join.
    """
    return min(len(joined_runs(pairs)), len(pairs))


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean [R] of values [n] under each row of weights [R, n]; NaN for a row without weight."""
    with np.errstate(invalid="ignore"):
        return weights @ values / weights.sum(axis=1)


def weighted_sum_over_both(
    values: np.ndarray, first_weights: np.ndarray, second_weights: np.ndarray
) -> np.ndarray:
    """Sum [R] of values [n, m], each times the weights of its row, [R, n], and column, [R, m]."""
    return ((first_weights @ values) * second_weights).sum(axis=1)


def probability_of_superiority(
    first: np.ndarray, second: np.ndarray, first_weights: np.ndarray, second_weights: np.ndarray
) -> np.ndarray:
    """P(first > second) + P(first = second) / 2, under each row of weights: [R].

    The effect size of the Mann-Whitney test, U / (n m); also the area under the ROC curve (AUC) of
    telling first from second by their values. 0.5: no tendency; 1: every first above every second.

    first, second: values [n], [m]; weights: [R, n], [R, m]. NaN for a row without weight.
    """
    above = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    with np.errstate(invalid="ignore"):
        return weighted_sum_over_both(above, first_weights, second_weights) / (
            first_weights.sum(axis=1) * second_weights.sum(axis=1)
        )
