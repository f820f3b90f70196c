"""What a change of the configuration changes: losses, spread of weights, heights.

Variants train the same seeds as the default, from the same initial weights with the same order of
minibatches. So the seeds are resampled together: an interval is of the change itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from topography import storage
from topography.analysis.weight_statistics import moments_of_runs
from topography.naming import (
    DEFAULT,
    by_folder_and_stem,
    optimizer_label,
    set_label,
    split_set,
)
from topography.report import claims


@dataclass(frozen=True)
class Measured:
    """What one variant computed. losses, moments and heights are by set.

    losses: seeds of the kept runs [n], and their losses [n] on the images that the set's checkpoint
    is chosen by. moments: seeds [n], and mean and mean square of the weights of each run [n, 2].
    heights: seeds of both runs of each pair [pairs], twice, and the height of its path [pairs].
    """

    losses: Mapping[str, tuple[np.ndarray, np.ndarray]]
    moments: Mapping[str, tuple[np.ndarray, np.ndarray]]
    heights: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def read(
    selections: Sequence[Path], sets: Sequence[Path], barriers: Sequence[Path]
) -> dict[str, Measured]:
    """Read the files of all variants, the default among them, each told by the folder it lies in.

    A variant without networks of its own, as it changes paths only, has those of the default; the
    default without its own has those outside of ``variants/``.

    Raises:
        StorageError: a file is missing or damaged.
    """
    found: dict[str, Measured] = {}
    for variant in dict.fromkeys([DEFAULT, *map(_variant, barriers)]):
        chosen = [
            [file for file in files if _variant(file) == variant]
            for files in (selections, sets, barriers)
        ]
        losses = dict(item for file in chosen[0] for item in _losses(file).items())
        moments = {file.stem: _moments(file) for file in chosen[1]}
        found[variant] = Measured(
            losses or found[DEFAULT].losses,
            moments or found[DEFAULT].moments,
            {name: _heights(file) for (_, name), file in by_folder_and_stem(chosen[2]).items()},
        )
    return found


def _variant(file: Path) -> str:
    name = re.search(r"/variants/([^/]+)/", file.as_posix())
    return name[1] if name else DEFAULT


def _losses(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    table = storage.read_table(file, ["seed", "train_loss", "test_loss", "kept"])
    kept = table[table["kept"]]
    return {
        f"{file.stem}_{checkpoint}": (
            kept["seed"].to_numpy(),
            kept[f"{checkpoint}_loss"].to_numpy(float),
        )
        for checkpoint in ("train", "test")
    }


def _moments(file: Path) -> tuple[np.ndarray, np.ndarray]:
    tensors = storage.read_tensors(file, {"weights": ["S", "P"], "seeds": ["S"]})
    return tensors["seeds"], moments_of_runs(tensors["weights"])


def _heights(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = storage.read_table(file, ["seed_i", "seed_j", "height"])
    return tuple(table[name].to_numpy() for name in ("seed_i", "seed_j", "height"))


def compare(measured: Mapping[str, Measured]) -> pd.DataFrame:
    """Every quantity of every variant beside the default.

    Returns:
        Rows ``quantity`` and ``set``, ``variant``, its ``value``, the value of the ``default``, and
        ``ratio`` of both with the 95 % interval ``low`` to ``high`` (percentile bootstrap over
        seeds, NaN with fewer than six runs, or pairs of them). Where the variant shares what is
        measured, there is no row.
    """
    default = measured[DEFAULT]
    seeds = np.unique(
        np.concatenate([s for one in measured.values() for s, _ in one.losses.values()])
    )
    counts = claims.resampled_runs(len(seeds), "differences")
    rows = []
    for variant, one in measured.items():
        for quantity, (field, statistic) in QUANTITIES.items():
            for name, of_default in getattr(default, field).items():
                of_variant = getattr(one, field)[name]
                if of_variant is of_default:
                    continue
                value, reference = (
                    statistic(data, seeds, counts) for data in (of_variant, of_default)
                )
                ratio = value / reference
                runs = min(map(independent, (of_variant, of_default)))
                low, high = claims.interval(ratio[1:], runs, claims.FEWEST_OF_THE_SAME_RUNS)
                rows.append(
                    {
                        "quantity": quantity,
                        "set": name,
                        "variant": variant,
                        "value": float(value[0]),
                        "default": float(reference[0]),
                        "ratio": float(ratio[0]),
                        "low": low,
                        "high": high,
                    }
                )
    return pd.DataFrame(rows)


def independent(data: Sequence[np.ndarray]) -> int:
    """How many values can be independent at most, of runs or of pairs. data: seeds [n], or two of
    each pair, and the values."""
    *seeds, values = data
    if len(seeds) == 1:
        return len(values)
    return claims.independent(pd.DataFrame(dict(zip("ij", seeds, strict=True))))


def mean_loss(
    data: tuple[np.ndarray, np.ndarray], seeds: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Mean loss over the runs under each row of counts of seeds."""
    of, losses = data
    return claims.weighted_mean(losses, counts[:, np.searchsorted(seeds, of)])


def deviation(
    data: tuple[np.ndarray, np.ndarray], seeds: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Standard deviation of all weights under each row of counts."""
    of, moments = data
    weights = counts[:, np.searchsorted(seeds, of)]
    mean, square = (claims.weighted_mean(moments[:, column], weights) for column in (0, 1))
    return np.sqrt(square - mean**2)


def mean_height(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], seeds: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Mean height over the pairs; a pair counts as often as both its runs."""
    first, second, heights = data
    i, j = (np.searchsorted(seeds, of) for of in (first, second))
    return claims.weighted_mean(heights, claims.pair_counts(counts, i, j))


# Quantity -> field of `Measured`, and the statistic of it under counts of seeds.
QUANTITIES = {
    "loss": ("losses", mean_loss),
    "spread": ("moments", deviation),
    "height": ("heights", mean_height),
}


def label(quantity: str, name: str) -> str:
    """Printed name of a quantity of a set."""
    optimizer, checkpoint = split_set(name)
    if quantity == "loss":
        return f"{checkpoint} loss, {optimizer_label(optimizer)}"
    what = {"spread": "sd of weights", "height": "height"}[quantity]
    return f"{what}, {set_label(name)}"


def markdown(table: pd.DataFrame, scale: str, dataset: str) -> str:
    """A row per quantity, a column per variant: its ratio to the default, with its interval."""
    variants = table["variant"].unique().tolist()
    lines = [
        "What each variant changes, as a factor on the default; in brackets 95 % bootstrap "
        f"intervals over seeds, bold where 1 lies outside. Scale {scale}, dataset {dataset}.",
        "",
        f"| quantity | default | {' | '.join(variants)} |",
        "|---|" + "---|" * (len(variants) + 1),
    ]
    for (quantity, name), rows in table.groupby(["quantity", "set"], sort=False):
        cells = {row.variant: _cell(row) for row in rows.itertuples()}
        lines.append(
            f"| {label(quantity, name)} | {rows['default'].iloc[0]:.3g} | "
            + " | ".join(cells.get(variant, "same") for variant in variants)
            + " |"
        )
    return "\n".join([*lines, ""])


def _cell(row: tuple) -> str:
    text = f"{row.ratio:.3g}"
    if np.isnan(row.low):
        return text
    bold = "" if row.low <= 1 <= row.high else "**"
    return f"{bold}{text}{bold} [{row.low:.3g}, {row.high:.3g}]"
