"""Claims about optimization paths held against what was recorded.

Each measure gives one number per seed (or one for all) and the number that steps at right angles,
the null model, would give; NaN where that model says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from topography.analysis.optimization_paths import Run, batch_size_curve, probe_curve, probes_of
from topography.errors import TopographyError
from topography.report.claims import AGREES, UNBOUNDED, verdict

Runs = Mapping[str, Run]
CLAIM_KEYS = ("id", "section", "statement", "measure", "of", "range")
SAYS_NOTHING = "agrees, as does the null model"


class Measurement(NamedTuple):
    """values: one per seed. null: what the null model gives."""

    values: np.ndarray
    null: float = np.nan


def judge(claims: Sequence[Mapping[str, Any]], runs: Runs, probes: pd.DataFrame) -> pd.DataFrame:
    """Claims with what was measured, over which range of seeds, and a verdict.

    The verdict compares the range of the claim with the interval from the lowest to the highest
    seed, see `topography.report.claims.verdict`.

    Raises:
        TopographyError: a claim names an unknown measure or run.
    """
    rows = []
    for claim in claims:
        if claim["measure"] not in MEASURES:
            raise TopographyError(
                f"Claim {claim['id']} names the measure {claim['measure']!r}; there are "
                f"{', '.join(MEASURES)}. Correct it in config/geometry_claims.yaml."
            )
        missing = [name for name in claim["of"] if "/" in str(name) and name not in runs]
        if missing:
            raise TopographyError(
                f"Claim {claim['id']} is about {missing}, which are not among the recorded runs. "
                "Correct config/geometry_claims.yaml, or the runs under geometry in config.yaml."
            )
        values, null = MEASURES[claim["measure"]](claim["of"], runs, probes)
        low, high = claim["range"]
        rows.append(
            {
                "claim": claim["id"],
                "section": f"Sec. {claim['section']}",
                "statement": claim["statement"],
                "expected_low": float(low),
                "expected_high": float(high),
                "measured": values.mean(),
                "lowest_seed": values.min(),
                "highest_seed": values.max(),
                "values": len(values),
                "null_model": null,
                "verdict": _verdict(values, null, low, high),
            }
        )
    return pd.DataFrame(rows)


def _verdict(values: np.ndarray, null: float, low: float, high: float) -> str:
    found = verdict(values.min(), values.max(), (low, high))
    return SAYS_NOTHING if found == AGREES and low <= null <= high else found


def markdown(table: pd.DataFrame, scale: str, datasets: str) -> str:
    """The verdicts as a table in Markdown; scale, datasets: of the runs, as text."""
    lines = [
        'Claims of "No Wrong Turns" (arXiv 2306.11922) and what was measured here, at scale '
        f"{scale}, on {datasets}: networks of another size than the paper's, on other data. The "
        "interval is from the lowest to the highest seed. The null model has steps at right "
        "angles to each other; where it lies in the expected range too, agreement says nothing.",
        "",
        "| section | claim | expected | measured (interval) | null model | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        null = "" if np.isnan(row.null_model) else f"{row.null_model:.3g}"
        lines.append(
            f"| {row.section} | {row.statement} | {_interval(row.expected_low, row.expected_high)} "
            f"| {row.measured:.3g}{_spread(row)} | {null} "
            f"| {row.verdict} |"
        )
    return "\n".join([*lines, ""])


def _spread(row: Any) -> str:
    """The interval of a row in brackets, empty where one number was measured of all seeds."""
    return f" ({_interval(row.lowest_seed, row.highest_seed)})" if row.values > 1 else ""


def _interval(low: float, high: float) -> str:
    return f"at least {low:.3g}" if high >= UNBOUNDED else f"{low:.3g} to {high:.3g}"


# Measures -----------------------------------------------------------------------------------------


def negative_fraction(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Fraction of steps with a negative cosine, of every seed of every run."""
    fractions = []
    for name in of:
        cosines = runs[name].shown("cosine")
        fractions += [np.mean(row[np.isfinite(row)] < 0) for row in cosines]
    return Measurement(np.array(fractions), 0.0)


def seeds_with_negatives(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Fraction of the seeds that have any negative cosine."""
    found = (runs[of[0]].shown("cosine") < 0).any(axis=1)
    return Measurement(np.array([found.mean()]), 0.0)


def epoch_range(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Highest over lowest mean cosine of an epoch, from the second on; the null's of the first."""

    def ratio(means: np.ndarray) -> np.ndarray:
        if means.shape[1] < 2:
            return np.full(len(means), np.nan)
        return means[:, 1:].max(1) / means[:, 1:].min(1)

    values = [ratio(_epoch_means(runs[name], "cosine")) for name in of]
    null = ratio(_epoch_means(runs[of[0]], "null_cosine")).mean()
    return Measurement(np.concatenate(values), float(null))


def seed_spread(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Largest standard deviation between seeds of an epoch's mean cosine, over its mean."""

    def spread(quantity: str) -> float:
        means = _epoch_means(runs[of[0]], quantity)
        return np.max(means.std(0, ddof=1) / means.mean(0)) if means.size else np.nan

    return Measurement(np.array([spread("cosine")]), spread("null_cosine"))


def budget_ratio(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Mean cosine of one budget over another's, in the epochs that both show but the first."""
    long, short = (runs[name] for name in of)
    seeds = min(len(run.notes["seeds"]) for run in (long, short))

    def ratio(quantity: str) -> np.ndarray:
        many, few = (_epoch_means(run, quantity)[:seeds] for run in (long, short))
        return many[:, 1 : few.shape[1]].mean(1) / few[:, 1:].mean(1)

    return Measurement(ratio("cosine"), float(ratio("null_cosine").mean()))


def cosine_ratio(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Mean cosine of one run over that of another, seed by seed."""
    values, nulls = (
        [np.nanmean(runs[name].shown(quantity), axis=1) for name in of]
        for quantity in ("cosine", "null_cosine")
    )
    count = min(map(len, values))
    ratios = values[0][:count] / values[1][:count]
    return Measurement(ratios, nulls[0].mean() / nulls[1].mean())


def distance_ratio(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Distance from start to end of one run over that of another, seed by seed."""
    distances = [runs[name].records["distance"][:, 0, 0] for name in of]
    lengths = [np.sqrt((runs[name].records["update_norm"] ** 2).sum(1)).mean() for name in of]
    count = min(map(len, distances))
    return Measurement(distances[0][:count] / distances[1][:count], lengths[0] / lengths[1])


def batch_size_exponent(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Power of the batch size that the mean cosine of runs grows with."""
    curve = batch_size_curve([runs[name] for name in of])
    seeds = min(len(runs[name].notes["seeds"]) for name in of)
    sizes = [runs[name].notes["settings"]["optimizer_settings"]["batch_size"] for name in of]
    by_seed = [np.nanmean(runs[name].shown("cosine"), axis=1)[:seeds] for name in of]
    slopes = np.polyfit(np.log(sizes), np.log(np.array(by_seed)), 1)[0]
    null = np.polyfit(np.log(curve["position"]), np.log(curve["comparison"]), 1)[0]
    return Measurement(slopes, float(null))


def probe_exponent(of: Sequence[Any], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Power of the minibatch size that the mean cosine on one path grows with, between two sizes.

    A limit that is no size of a probe counts as the smallest or the largest.
    """
    run, *limits = of
    curve, _ = probe_curve(runs[run], probes_of(run, probes))
    first, last = (
        limit if limit in set(curve["position"]) else end
        for limit, end in zip(
            limits, (curve["position"].min(), curve["position"].max()), strict=True
        )
    )
    chosen = curve[curve["position"].between(first, last)]
    if len(chosen) < 2:
        return Measurement(np.array([np.nan]))
    return Measurement(
        np.array([np.polyfit(np.log(chosen["position"]), np.log(chosen["mean"]), 1)[0]])
    )


def late_rise(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Mean of a quantity in the fourth quarter of what is shown over that in the second."""
    values = runs[of[0]].shown(of[1])
    quarter = values.shape[1] // 4
    second, fourth = values[:, quarter : 2 * quarter], values[:, 3 * quarter :]
    return Measurement(np.nanmean(fourth, axis=1) / np.nanmean(second, axis=1))


def schedule_correlation(of: Sequence[str], runs: Runs, probes: pd.DataFrame) -> Measurement:
    """Correlation of the locally optimal learning rate and the rate in force, means per epoch."""
    run = runs[of[0]]
    optimal, rates = (_epoch_means(run, name) for name in ("optimal_rate", "learning_rate"))
    pairs = zip(optimal, rates, strict=True)
    return Measurement(np.array([np.corrcoef(ours, rate)[0, 1] for ours, rate in pairs]), 1.0)


def _epoch_means(run: Run, quantity: str) -> np.ndarray:
    """Means [S, epochs - 1] of a quantity over the epochs that count."""
    values = run.shown(quantity)
    return np.nanmean(values.reshape(len(values), -1, run.notes["steps_per_epoch"]), axis=2)


MEASURES: dict[str, Callable[[Sequence[Any], Runs, pd.DataFrame], Measurement]] = {
    measure.__name__: measure
    for measure in (
        negative_fraction,
        seeds_with_negatives,
        epoch_range,
        seed_spread,
        budget_ratio,
        cosine_ratio,
        distance_ratio,
        batch_size_exponent,
        probe_exponent,
        late_rise,
        schedule_correlation,
    )
}
