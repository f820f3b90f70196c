"""Figures 4 and S2: how high the best paths between solutions rise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from topography import storage
from topography.analysis.sets import CHECKPOINTS
from topography.figures import FigureInputError, histograms, style
from topography.naming import in_paper_order, split_set


def read_heights(files: Sequence[Path]) -> tuple[str, dict[str, dict[str, np.ndarray]]]:
    """Landscape, and path heights H (Eq. 5) per architecture and set.

    Args:
        files: barrier tables ``{landscape}/{architecture}/{set}.csv``.

    Raises:
        FigureInputError: the tables are of more than one landscape, or one has no rows.
        StorageError: a table is missing or damaged.
    """
    landscapes = sorted({file.parent.parent.name for file in files})
    if len(landscapes) > 1:
        raise FigureInputError(
            f"The barrier tables are of the landscapes {landscapes}. "
            "Give the tables of one landscape; each has a figure of its own."
        )
    heights: dict[str, dict[str, np.ndarray]] = {}
    for file in files:
        values = storage.read_table(file, ["height"])["height"].to_numpy(float)
        if len(values) == 0:
            raise FigureInputError(f"{file} has no rows. Set pairs.count to 1 or more.")
        heights.setdefault(file.parent.name, {})[file.stem] = values
    return landscapes[0], {name: _in_legend_order(sets) for name, sets in heights.items()}


def shown_numbers(heights: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """Histograms of the heights on bins common to the sets of an architecture."""
    return histograms.histogram_table(heights)


def draw(numbers: pd.DataFrame, landscape: str) -> Figure:
    """One panel per architecture, one histogram per set."""
    colours = style.set_colours(numbers["set"])
    architectures = numbers["architecture"].unique().tolist()
    figure, panels = style.new_panels(architectures)
    for axes, architecture in zip(panels, architectures, strict=True):
        histograms.draw_histograms(axes, numbers[numbers["architecture"] == architecture], colours)
        axes.set_xlabel(style.loss_label(f"Path height $H$, {landscape} landscape", architecture))
        axes.set_ylabel("Number of paths")
    style.add_legend(figure, histograms.legend_entries(colours))
    return figure


def _in_legend_order(sets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """L-BFGS before SGD, train before test."""
    optimizers = in_paper_order(split_set(name)[0] for name in sets)
    ordered = [
        f"{optimizer}_{checkpoint}" for optimizer in optimizers for checkpoint in CHECKPOINTS
    ]
    return {name: sets[name] for name in ordered if name in sets}
