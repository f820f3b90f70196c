"""Histograms of several sets in one panel, on common bins (Figs. 4, 5, S2, S3)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from topography.figures import style
from topography.naming import set_label, split_set

FILL = 0.45  # opacity
BETWEEN_BINS = 0.5  # width of lines, points
LOGARITHMIC_FROM = 50  # ratio of the largest to the smallest value


def is_logarithmic(low: float, high: float) -> bool:
    """Whether values from ``low`` to ``high`` would crowd on a linear axis."""
    return low > 0 and high / low > LOGARITHMIC_FROM


def common_edges(samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """Bin edges from the smallest to the largest of all values; few values get wide bins.

    Finer than for a single histogram, because the sets can lie far apart.
    """
    values = np.concatenate(list(samples.values()))
    low, high = values.min(), values.max()
    if low == high:
        margin = 0.05 * abs(low) or 0.5
        low, high = low - margin, high + margin
    bins = int(np.clip(3 * np.sqrt(max(map(len, samples.values()))), 10, 40))
    return (np.geomspace if is_logarithmic(low, high) else np.linspace)(low, high, bins + 1)


def histogram_table(samples: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Counts on common bins, per panel.

    Args:
        samples: architecture -> set -> values.

    Returns:
        Rows ``architecture``, ``set``, ``bin_left``, ``bin_right`` (the last bin includes it),
        ``count``.
    """
    tables = []
    for architecture, sets in samples.items():
        edges = common_edges(sets)
        for name, values in sets.items():
            tables.append(
                pd.DataFrame(
                    {
                        "architecture": architecture,
                        "set": name,
                        "bin_left": edges[:-1],
                        "bin_right": edges[1:],
                        "count": np.histogram(values, edges)[0],
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def draw_histograms(axes: Axes, panel: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Draw the histograms of one panel: filled, outlined where they overlap, and with thin lines
    between bins, which would look like one where they are equally high."""
    for name, bins in panel.groupby("set", sort=False):
        edges = np.append(bins["bin_left"], bins["bin_right"].iloc[-1])
        counts = bins["count"].to_numpy()
        axes.stairs(counts, edges, fill=True, color=colours[name], alpha=FILL)
        axes.stairs(counts, edges, zorder=2, **_outline(name, colours))
        shared = np.minimum(counts[:-1], counts[1:])
        axes.vlines(edges[1:-1], 0, shared, color=colours[name], linewidth=BETWEEN_BINS)
    low, high = panel["bin_left"].min(), panel["bin_right"].max()
    if is_logarithmic(low, high):
        style.label_logarithmic_axis(axes, "x", low, high)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=style.ROUND_STEPS))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=style.ROUND_STEPS))


def _outline(name: str, colours: Mapping[str, str]) -> dict[str, Any]:
    """Look of an outline: dashed if the set may cover the train set of the same optimizer."""
    optimizer, checkpoint = split_set(name)
    dashed = checkpoint == "test" and f"{optimizer}_train" in colours
    return {
        "edgecolor": colours[name],
        "linestyle": (0, (3, 1.2)) if dashed else "-",
        "linewidth": 1.1,
    }


def legend_entries(colours: Mapping[str, str]) -> dict[str, Artist]:
    """Legend entries of the sets: label -> patch of the set's colour."""
    return {
        set_label(name): Patch(facecolor=(colour, FILL), **_outline(name, colours))
        for name, colour in colours.items()
    }
