"""Figure 4 converged: how heights fall as the search for paths goes on."""

import itertools
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from topography.figures import style
from topography.naming import set_label

COLUMNS = [
    *("architecture", "set", "terms", "steps"),
    *("fine_height", "fine_height_low", "fine_height_high"),
    *("barrier", "barrier_low", "barrier_high"),
]
MARKERS = ("o", "s", "^", "D")  # of numbers of terms, the fewest first
LINES = ("-", "--", "-.", ":")
BAND_OPACITY = 0.15
ENDS = {"linestyle": (0, (1, 1.5)), "linewidth": 0.9}


def draw(numbers: pd.DataFrame) -> Figure:
    """One panel per architecture; a line with its 95 % band per set and number of terms, and a
    level one at the mean loss of the higher end, below which its line cannot get.

    numbers: rows of `topography.report.convergence.efforts`.
    """
    colours = style.set_colours(numbers["set"])
    terms = sorted(numbers["terms"].unique())
    looks = dict(zip(terms, itertools.cycle(zip(MARKERS, LINES, strict=True)), strict=False))
    architectures = numbers["architecture"].unique().tolist()
    figure, panels = style.new_panels(architectures, row_height=2.6)
    for axes, architecture in zip(panels, architectures, strict=True):
        chosen = numbers[numbers["architecture"] == architecture]
        for (name, count), line in chosen.groupby(["set", "terms"], sort=False):
            _draw_line(axes, line, colours[name], *looks[count])
        _name_axes(axes, chosen, architecture)
        _draw_ends(axes, chosen, colours)
    entries = {set_label(name): Patch(color=colour) for name, colour in colours.items()}
    for count, (marker, line) in looks.items():
        entries[f"{count} terms"] = Line2D(
            [], [], color=style.INK, marker=marker, markersize=3.5, linestyle=line
        )
    entries["loss of the higher end"] = Line2D([], [], color=style.INK, **ENDS)
    entries["steps of Figure 4"] = Line2D([], [], color=style.FAINT, linestyle=":")
    style.add_legend(figure, entries)
    return figure


def _draw_line(axes: Axes, line: pd.DataFrame, colour: str, marker: str, dashes: str) -> None:
    """Mean height of one set and number of terms, with its band where it has one."""
    steps = line["steps"]
    axes.plot(
        steps, line["fine_height"], color=colour, marker=marker, markersize=3.5, linestyle=dashes
    )
    axes.fill_between(
        steps,
        line["fine_height_low"],
        line["fine_height_high"],
        color=colour,
        alpha=BAND_OPACITY,
        linewidth=0,
    )


def _draw_ends(axes: Axes, numbers: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """The mean loss of the higher end of each set, unless all heights lie far above it."""
    limits = axes.get_ylim()
    for name, lines in numbers.groupby("set", sort=False):
        first = lines.iloc[0]  # all numbers of terms and steps are of the same pairs
        end = first["fine_height"] - first["barrier"]
        if end > limits[0]:
            axes.axhline(end, color=colours[name], **ENDS)
    axes.set_ylim(limits)


def _name_axes(axes: Axes, numbers: pd.DataFrame, architecture: str) -> None:
    """Logarithmic axes; a dotted line at the effort that the paper stops at."""
    heights = numbers[["fine_height", "fine_height_low", "fine_height_high"]]
    style.label_logarithmic_axis(axes, "y", heights.min().min(), heights.max().max())
    steps = sorted(numbers["steps"].unique())
    axes.set_xscale("log")
    axes.set_xticks(steps, [str(count) for count in steps])
    axes.minorticks_off()
    axes.axvline(steps[0], color=style.FAINT, linestyle=":", linewidth=0.9, zorder=0)
    axes.set_xlabel("Steps of the search")
    axes.set_ylabel(style.loss_label("Mean height $H$", architecture))
