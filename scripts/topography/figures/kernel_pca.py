"""Figures 6 and S4: solutions projected on two kernel principal components."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from topography.figures import FigureInputError, style
from topography.naming import set_label, split_set

KERNEL = "rbf"  # of the paper
MARKERS = ("o", "^")  # a second cue beside the colour


def shown_numbers(projections: Mapping[str, pd.DataFrame], comparison: str) -> pd.DataFrame:
    """Projections of one comparison with the paper's kernel.

    Returns:
        Rows ``architecture``, ``set``, ``seed``, ``pc1``, ``pc2``.

    Raises:
        FigureInputError: an architecture has none.
    """
    tables = []
    for architecture, table in projections.items():
        rows = table[(table["comparison"] == comparison) & (table["kernel"] == KERNEL)]
        if len(rows) == 0:
            raise FigureInputError(
                f"The projections of architecture {architecture!r} hold no {comparison} with "
                f"kernel {KERNEL!r}. Add {KERNEL!r} to kernel_pca.kernels and run again."
            )
        tables.append(rows.assign(architecture=architecture))
    columns = ["architecture", "set", "seed", "pc1", "pc2"]
    return pd.concat(tables, ignore_index=True)[columns]


def draw(numbers: pd.DataFrame) -> Figure:
    """One scatter panel per architecture, the optimizers by colour and marker."""
    sets = numbers["set"].unique().tolist()
    colours = style.optimizer_colours(split_set(name)[0] for name in sets)
    architectures = numbers["architecture"].unique().tolist()
    figure, panels = style.new_panels(architectures)
    for axes, architecture in zip(panels, architectures, strict=True):
        panel = numbers[numbers["architecture"] == architecture]
        entries = {
            set_label(name): axes.scatter(
                points["pc1"],
                points["pc2"],
                s=16,
                marker=marker,
                color=colours[split_set(name)[0]],
                alpha=0.75,
                linewidths=0,
            )
            for (name, points), marker in zip(
                panel.groupby("set", sort=False), MARKERS, strict=True
            )
        }
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=style.ROUND_STEPS))
        axes.set_xlabel(r"PC$_1$")
        axes.set_ylabel(r"PC$_2$")
    style.add_legend(figure, entries)
    return figure
