"""Table 1 (losses) and Table S1 (weights) of the paper, as CSV and Markdown."""

import argparse
from collections.abc import Mapping, Sequence

import pandas as pd

from topography.analysis.sets import CHECKPOINTS
from topography.errors import TopographyError
from topography.naming import (
    architecture_label,
    in_paper_order,
    optimizer_label,
    split_set,
)

MISSING = "-"


class TableError(TopographyError):
    """The inputs of a table do not belong together."""


def add_caption_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the caption of a table says about where its numbers come from."""
    parser.add_argument("--scale", required=True, help="name of the scale, for the caption")
    parser.add_argument("--dataset", required=True, help="name of the dataset, for the caption")
    parser.add_argument(
        "--imported",
        nargs="*",
        default=[],
        help="architecture/optimizer of weights from elsewhere, for the caption",
    )


def loss_table(
    selections: Mapping[tuple[str, str], pd.DataFrame], statistics: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Mean losses of the kept runs: train loss of the train weights, test loss of the test weights.

    Args:
        selections: (architecture, optimizer) -> selection table.
        statistics: architecture -> weight statistics, for the number of parameters.

    Returns:
        One row per architecture and optimizer: ``architecture``, ``optimizer``, ``parameters``,
        ``runs``, and mean and standard deviation (over the runs, n - 1; NaN for a single run) of
        both losses.

    Raises:
        TableError: an architecture has no weight statistics.
    """
    rows = []
    for (architecture, optimizer), selection in selections.items():
        if architecture not in statistics:
            raise TableError(
                f"No weight statistics of architecture {architecture!r} were given, only of "
                f"{sorted(statistics)}. Add {architecture}.csv to --statistics."
            )
        kept = selection[selection["kept"]]
        row = {
            "architecture": architecture,
            "optimizer": optimizer,
            "parameters": statistics[architecture]["parameters"].iloc[0],
            "runs": len(kept),
        }
        for checkpoint in CHECKPOINTS:
            losses = kept[f"{checkpoint}_loss"]
            row[f"{checkpoint}_loss"] = losses.mean()
            row[f"{checkpoint}_loss_standard_deviation"] = losses.std(ddof=1)
        rows.append(row)
    return pd.DataFrame(rows)


def weight_table(statistics: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Weight statistics of all architectures in one table, ``architecture`` in front."""
    return pd.concat(
        [
            table.assign(architecture=architecture)[["architecture", *table.columns]]
            for architecture, table in statistics.items()
        ],
        ignore_index=True,
    )


def loss_markdown(
    losses: pd.DataFrame, scale: str, dataset: str, imported: Sequence[str] = ()
) -> str:
    """Table 1 in the shape of the paper: train losses, then test losses, then N_prm.

    imported: architecture/optimizer of weights from elsewhere, which the caption names.
    """
    optimizers = in_paper_order(losses["optimizer"])
    header = [
        f"{checkpoint} loss, {optimizer_label(optimizer)}"
        for checkpoint in CHECKPOINTS
        for optimizer in optimizers
    ]
    cells = losses.set_index(["architecture", "optimizer"])
    body = []
    for architecture in losses["architecture"].unique():
        numbers = [
            _scientific(cells[f"{checkpoint}_loss"].get((architecture, optimizer)))
            for checkpoint in CHECKPOINTS
            for optimizer in optimizers
        ]
        parameters = str(losses.loc[losses["architecture"] == architecture, "parameters"].iloc[0])
        body.append([architecture_label(architecture), *numbers, parameters])
    caption = (
        f"Table 1. Average train loss (weights at the minimum of the train loss) and test loss "
        f"(weights at the minimum of the test loss) over {_runs(losses)}. "
        f"{_origin(scale, dataset, imported)}"
    )
    return _markdown(caption, ["NN", *header, "N_prm"], body)


def weight_markdown(
    weights: pd.DataFrame, scale: str, dataset: str, imported: Sequence[str] = ()
) -> str:
    """Table S1 in the shape of the paper: per architecture, mean and sd of each set.

    imported: architecture/optimizer of weights from elsewhere, which the caption names.
    """
    sets = weights["set"].unique()
    ordered = [
        f"{optimizer}_{checkpoint}"
        for checkpoint in CHECKPOINTS
        for optimizer in reversed(in_paper_order(split_set(name)[0] for name in sets))
        if f"{optimizer}_{checkpoint}" in sets
    ]
    header = [
        f"{split_set(name)[1]} {optimizer_label(split_set(name)[0])} {symbol}"
        for name in ordered
        for symbol in ("mean", "sd")
    ]
    cells = weights.set_index(["architecture", "set"])
    body = [
        [
            architecture_label(architecture),
            *(
                _scientific(cells[column].get((architecture, name)))
                for name in ordered
                for column in ("mean", "standard_deviation")
            ),
        ]
        for architecture in weights["architecture"].unique()
    ]
    caption = (
        "Table S1. Mean and standard deviation (sd) of all weights and biases of a set of "
        f"networks, at the minimum of the train loss (train) and of the test loss (test). "
        f"{_origin(scale, dataset, imported)}"
    )
    return _markdown(caption, ["NN", *header], body)


def _origin(scale: str, dataset: str, imported: Sequence[str]) -> str:
    """Last sentences of a caption: what the numbers were made from."""
    origin = f"Scale {scale}, dataset {dataset}."
    if not imported:
        return origin
    names = [
        f"{architecture_label(architecture)} with {optimizer_label(optimizer)}"
        for architecture, optimizer in (name.split("/") for name in imported)
    ]
    return f"{origin} Weights from elsewhere: {', '.join(names)}."


def _runs(losses: pd.DataFrame) -> str:
    """How many runs were kept of each optimizer, and where numbers differ, of which networks."""
    counts = losses.groupby("architecture", sort=False)["runs"].first()
    if counts.nunique() == 1:
        return f"{counts.iloc[0]} independent runs"
    parts = counts.groupby(counts, sort=False).groups.items()
    names = (f"{count} of {' and '.join(map(architecture_label, own))}" for count, own in parts)
    return f"independent runs, {', '.join(names)}"


def _scientific(value: float | None) -> str:
    """Two decimals and a power of ten, as the paper prints its numbers."""
    return MISSING if value is None else f"{value:.2e}"


def _markdown(caption: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A caption and a table whose first column is text and whose others are numbers."""
    alignment = ["---", *["---:"] * (len(header) - 1)]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, alignment, *body)]
    return "\n".join([caption, "", *lines, ""])
