"""Figures 5 and S3: how far solutions lie from their common origin."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from topography.figures import FigureInputError, histograms, style
from topography.naming import split_set


def shown_numbers(
    lengths: Mapping[str, pd.DataFrame], centroids: Mapping[str, pd.DataFrame], comparison: str
) -> pd.DataFrame:
    """Histograms of the lengths of two sets, with the distance of the centroids from the origin.

    Args:
        lengths: architecture -> lengths.
        centroids: architecture -> centroid distances, which are equal by definition of the origin.
        comparison: the two sets, joined by a hyphen.

    Raises:
        FigureInputError: an architecture lacks a set or its centroid distances.
    """
    if set(lengths) != set(centroids):
        raise FigureInputError(
            f"--lengths gives the architectures {sorted(lengths)}, --centroids "
            f"{sorted(centroids)}. Give both files of each architecture."
        )
    samples = {
        architecture: {
            name: table.loc[table["set"] == name, "length"].to_numpy(float)
            for name in comparison.split("-")
        }
        for architecture, table in lengths.items()
    }
    for architecture, sets in samples.items():
        for name, values in sets.items():
            if len(values) == 0:
                raise FigureInputError(
                    f"The lengths of architecture {architecture!r} hold no set {name!r}. "
                    "Add the set to the optimizers of the configuration and run again."
                )
    numbers = histograms.histogram_table(samples)
    distances = {name: table["distance"].iloc[0] for name, table in centroids.items()}
    return numbers.assign(centroid_distance=numbers["architecture"].map(distances))


def draw(numbers: pd.DataFrame) -> Figure:
    """One panel per architecture: two histograms and a dotted line at the centroids."""
    of_optimizers = style.optimizer_colours(split_set(name)[0] for name in numbers["set"])
    colours = {name: of_optimizers[split_set(name)[0]] for name in numbers["set"].unique()}
    architectures = numbers["architecture"].unique().tolist()
    figure, panels = style.new_panels(architectures)
    for axes, architecture in zip(panels, architectures, strict=True):
        panel = numbers[numbers["architecture"] == architecture]
        histograms.draw_histograms(axes, panel, colours)
        line = axes.axvline(panel["centroid_distance"].iloc[0], color=style.INK, linestyle=":")
        if axes.get_xscale() == "linear":
            axes.set_xlim(left=0)
        axes.set_xlabel(r"Distance from the origin $|\omega^i - \bar{\omega}|$")
        axes.set_ylabel("Number of networks")
    style.add_legend(
        figure, histograms.legend_entries(colours) | {"centroids of the test sets": line}
    )
    return figure
