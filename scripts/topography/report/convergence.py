"""Does the ordering of barriers survive when paths are searched on until they settle?

Our own question: the paper stops at 100 steps, where it finds SGD solutions separated by lower
barriers than those of L-BFGS. Here that first measurement, with as many Fourier terms, is set
beside the lowest path found at any effort, for heights and for barriers above the ends.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from topography import storage
from topography.analysis.sets import CHECKPOINTS
from topography.errors import TopographyError
from topography.naming import architecture_label, by_folder_and_stem
from topography.report import claims

Searches = Mapping[tuple[str, str], pd.DataFrame]

COLUMNS = ("pair", "i", "j", "terms", "steps", "start_loss", "end_loss", "fine_height", "settled")
PAIR = ["pair", "i", "j"]
GAPS = ("first", "first_probability", "converged", "converged_probability")
ORDERING_COLUMNS = (
    *("architecture", "weights", "measure", "terms", "steps", "runs", "pairs"),
    *(f"{gap}{end}" for gap in GAPS for end in ("", "_low", "_high")),
    *("settled_lbfgs", "settled_sgd", "verdict"),
)
MEASURES = {"fine_height": "heights", "barrier": "barriers above the ends"}
SURVIVES, VANISHES, REVERSES = "survives", "vanishes", "reverses"
# A gap between the optimizers has vanished when it is surely below this fraction of the first one.
NEGLIGIBLE_DIFFERENCE = 0.1
# Added to a verdict where fewer than this fraction of the paths of an optimizer have settled: the
# others may still fall, and by how much is not known.
SO_FAR, SETTLED_ENOUGH = " so far", 0.9


class ConvergenceError(TopographyError):
    """The tables of searched paths cannot be used."""


def read_searches(files: Sequence[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """Tables made by converge_paths.py, by architecture and set, with one more column, ``barrier``:
    by how much ``fine_height``, the height on the fine grid, exceeds the higher end.

    Args:
        files: ``{architecture}/{set}.csv``.

    Raises:
        StorageError: a file is missing or damaged.
        ConvergenceError: a loss is not finite.
    """
    searches = {}
    for names, file in by_folder_and_stem(files).items():
        table = storage.read_table(file, list(COLUMNS))
        if not np.isfinite(table.to_numpy(float)).all():
            raise ConvergenceError(
                f"{file} has a loss that is not finite. Lower converged.learning_rate (or, if its "
                "first rows have it, paths.learning_rate), delete the file and search again."
            )
        ends = table[["start_loss", "end_loss"]].max(axis=1)
        searches[names] = table.assign(barrier=table["fine_height"] - ends)
    return searches


def efforts(searches: Searches) -> pd.DataFrame:
    """Mean fine height and barrier of each set after each effort: the numbers of the figure.

    Returns:
        Rows ``architecture``, ``set``, ``terms``, ``steps``, ``pairs``, ``searched_on`` (pairs that
        had not settled before), and of both measures the mean over the pairs with its 95 %
        interval. A path that has settled keeps its last height.
    """
    rows = []
    for (architecture, name), table in searches.items():
        for terms, search in table.groupby("terms"):
            columns = {measure: _by_steps(search, measure) for measure in MEASURES}
            pairs = columns["fine_height"].index.to_frame()
            weights = _pair_weights(pairs, architecture, name)
            independent = claims.independent(pairs)
            for steps in columns["fine_height"]:
                row = {"architecture": architecture, "set": name, "terms": terms, "steps": steps}
                row["pairs"] = len(pairs)
                row["searched_on"] = int((search["steps"] == steps).sum())
                for measure, values in columns.items():
                    means = claims.weighted_mean(values[steps].to_numpy(), weights)
                    row |= _with_interval(measure, means, independent)
                rows.append(row)
    return pd.DataFrame(rows)


def orderings(searches: Searches, terms: Mapping[str, int]) -> pd.DataFrame:
    """By how much L-BFGS exceeds SGD at first and converged, and what becomes of the ordering.

    Args:
        searches: made by `read_searches`.
        terms: architecture -> Fourier terms of the first measurement; the most that were searched
            with where these were not.

    Returns:
        A row per architecture, ``weights`` (train or test) and measure. ``first``, ``converged``:
        mean of L-BFGS less mean of SGD, above 0 where SGD is lower, with 95 % intervals over
        resampled runs; ``..._probability``: that a path of SGD is lower than one of L-BFGS (the
        effect size of the Mann-Whitney test). ``terms`` and ``steps``: of the first measurement.
        ``settled_sgd``, ``settled_lbfgs``: fraction of pairs that settled in the search with most
        terms. ``runs``: the fewest of both sets. ``verdict``: with "so far" unless most settled.
    """
    rows = []
    for architecture in dict.fromkeys(architecture for architecture, _ in searches):
        for checkpoint in CHECKPOINTS:
            names = [f"{optimizer}_{checkpoint}" for optimizer in ("lbfgs", "sgd")]
            if all((architecture, name) in searches for name in names):
                tables = [searches[architecture, name] for name in names]
                rows += [
                    {
                        "architecture": architecture,
                        "weights": checkpoint,
                        **_ordering(architecture, names, tables, measure, terms[architecture]),
                    }
                    for measure in MEASURES
                ]
    return pd.DataFrame(rows, columns=list(ORDERING_COLUMNS))


def verdict(first: tuple[float, float, float], converged: tuple[float, float, float]) -> str:
    """What becomes of an ordering; both gaps between two sets as (value, low, high).

    It vanishes where the interval of the converged gap lies within a tenth of the first gap,
    survives where it lies on the same side of 0, reverses where it lies on the other. Where the
    first interval holds 0 there was no ordering, and nothing is concluded; nor where there is no
    interval (NaN).
    """
    value, *ends = first
    low, high = converged[1:]
    if np.isnan([*ends, low, high]).any() or min(ends) <= 0 <= max(ends):
        return claims.INCONCLUSIVE
    if max(abs(low), abs(high)) < NEGLIGIBLE_DIFFERENCE * abs(value):
        return VANISHES
    if low <= 0 <= high:
        return claims.INCONCLUSIVE
    return SURVIVES if (low > 0) == (value > 0) else REVERSES


def sentences(table: pd.DataFrame) -> list[str]:
    """What became of the orderings of `orderings`, a sentence per architecture and weights."""
    return [
        f"{architecture_label(architecture)}, {weights} weights: {_answer(rows)}. {_settled(rows)}"
        for (architecture, weights), rows in table.groupby(["architecture", "weights"], sort=False)
    ]


def _answer(rows: pd.DataFrame) -> str:
    """Such as "SGD is lower in heights at first, which vanishes; inconclusive in barriers ..."."""
    measures: dict[tuple[str, str], list[str]] = {}  # (side of SGD, verdict) ->
    for row in rows.itertuples():
        side = "lower" if row.first >= 0 else "higher"
        decided = row.verdict != claims.INCONCLUSIVE
        measures.setdefault((side * decided, row.verdict), []).append(MEASURES[row.measure])
    texts = {answer: f"in {' and in '.join(names)}" for answer, names in measures.items()}
    return "; ".join(
        f"SGD is {side} {text} at first, which {verdict}" if side else f"{verdict} {text}"
        for (side, verdict), text in texts.items()
    )


def _settled(rows: pd.DataFrame) -> str:
    """How many pairs were searched, and how many of the paths had settled at the end."""
    row = rows.iloc[0]
    sgd, lbfgs = (f"{100 * row[f'settled_{name}']:.0f} %" for name in ("sgd", "lbfgs"))
    return (
        f"Of {row['pairs']} pairs of {row['runs']} networks of each optimizer, {sgd} (SGD) and "
        f"{lbfgs} (L-BFGS) have settled."
    )


def _ordering(
    architecture: str,
    names: Sequence[str],
    tables: Sequence[pd.DataFrame],
    measure: str,
    terms: int,
) -> dict[str, object]:
    """Row of `orderings` for two sets, L-BFGS and SGD."""
    searched = set(tables[0]["terms"])
    least = pd.Series(
        {
            "terms": terms if terms in searched else max(searched),
            "steps": int(tables[0]["steps"].min()),
        }
    )
    row: dict[str, object] = {"measure": measure, **least}
    pairs = [table.groupby(PAIR)[measure].min() for table in tables]  # the lowest path of each
    firsts = [
        table[(table[["terms", "steps"]] == least).all(axis=1)].set_index(PAIR)[measure]
        for table in tables
    ]
    weights = [
        _pair_weights(values.index.to_frame(), architecture, name)
        for values, name in zip(pairs, names, strict=True)
    ]
    row["runs"] = min(len(claims.joined_runs(values.index.to_frame())) for values in pairs)
    row["pairs"] = min(map(len, pairs))
    independent = min(row["runs"], row["pairs"])
    gaps = {}
    for effort, values in (("first", firsts), ("converged", pairs)):
        lbfgs, sgd = (
            series.loc[chosen.index].to_numpy()
            for series, chosen in zip(values, pairs, strict=True)
        )
        gap = claims.weighted_mean(lbfgs, weights[0]) - claims.weighted_mean(sgd, weights[1])
        chance = claims.probability_of_superiority(lbfgs, sgd, *weights)
        for name, resampled in ((effort, gap), (f"{effort}_probability", chance)):
            row |= _with_interval(name, resampled, independent)
        gaps[effort] = (row[effort], row[f"{effort}_low"], row[f"{effort}_high"])
    for name, table in zip(names, tables, strict=True):
        last = table[table["terms"] == table["terms"].max()].groupby("pair").last()
        row[f"settled_{name.split('_')[0]}"] = last["settled"].mean()
    answer = verdict(gaps["first"], gaps["converged"])
    open_end = min(row["settled_lbfgs"], row["settled_sgd"]) < SETTLED_ENOUGH
    if answer != claims.INCONCLUSIVE and open_end:
        answer += SO_FAR
    return {**row, "verdict": answer}


def _with_interval(name: str, values: np.ndarray, runs: int) -> dict[str, float]:
    """A value and its interval, of values [1 + R]; NaN for the interval with too few runs (see
    `claims.independent`)."""
    low, high = claims.interval(values[1:], runs)
    return {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}


def _by_steps(search: pd.DataFrame, measure: str) -> pd.DataFrame:
    """A measure of each pair (rows) after each number of steps (columns)."""
    return search.pivot(index=PAIR, columns="steps", values=measure).ffill(axis=1)


def _pair_weights(pairs: pd.DataFrame, architecture: str, name: str) -> np.ndarray:
    """Weights [1 + R, pairs]: ones, then how often each resample of the joined runs drew a pair."""
    runs = claims.joined_runs(pairs)
    counts = claims.resampled_runs(len(runs), f"searches/{architecture}/{name}")
    return claims.pair_counts(counts, *(np.searchsorted(runs, pairs[end]) for end in ("i", "j")))
