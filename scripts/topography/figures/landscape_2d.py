"""Figure 3: paths between two minima of a landscape of two dimensions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from topography.figures import style

STRAIGHT = "straight"
PENALTY_PREFIX = "penalty_"
PATH_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c")  # blue, orange, green, as in the paper
HEIGHT = 3.3  # inches
LEVELS = 20


def shown_numbers(tensors: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """All points of all paths: the straight line, then the penalties upwards.

    Returns:
        Rows ``path``, ``penalty`` (lambda; NaN for the straight line), ``t``, ``x``, ``y``,
        ``loss``, ``highest`` (the point that gives the path its height, Eq. 5). The contours behind
        them are the closed formula of the paper's caption, evaluated on a grid.
    """
    penalties = sorted(
        float(name.removeprefix(PENALTY_PREFIX).removesuffix("_losses"))
        for name in tensors
        if name.startswith(PENALTY_PREFIX) and name.endswith("_losses")
    )
    named = {STRAIGHT: np.nan} | {f"{PENALTY_PREFIX}{value:g}": value for value in penalties}
    tables = []
    for name, penalty in named.items():
        points, losses = tensors[f"{name}_points"], tensors[f"{name}_losses"]
        tables.append(
            pd.DataFrame(
                {
                    "path": name,
                    "penalty": penalty,
                    "t": tensors["t"],
                    "x": points[:, 0],
                    "y": points[:, 1],
                    "loss": losses,
                    "highest": np.arange(len(losses)) == losses.argmax(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def draw(numbers: pd.DataFrame, tensors: Mapping[str, np.ndarray]) -> Figure:
    """The landscape with the paths (a), and the loss along them (b).

    Args:
        numbers: the paths.
        tensors: ``grid_x``, ``grid_y``, ``grid_losses`` for the contours.
    """
    figure = style.new_figure(HEIGHT)
    map_axes, profile_axes = figure.subplots(1, 2, width_ratios=(1.3, 1))
    style.name_panel(map_axes, "a")
    style.name_panel(profile_axes, "b")
    _draw_contours(figure, map_axes, tensors)
    colours = iter(PATH_COLOURS * 10)
    entries = {}
    for order, (name, path) in enumerate(numbers.groupby("path", sort=False)):
        if name == STRAIGHT:
            label, look = "straight line", {"color": style.INK, "linestyle": "--"}
            map_axes.plot(path["x"], path["y"], **look)
        else:
            label, look = rf"$\lambda$ = {path['penalty'].iloc[0]:g}", {"color": next(colours)}
            map_axes.plot(path["x"], path["y"], linewidth=0.7, marker=".", markersize=3, **look)
        (entries[label],) = profile_axes.plot(path["t"], path["loss"], **look)
        _label_height(profile_axes, path[path["highest"]].iloc[0], order, look["color"])
    _name_ends(map_axes, numbers[numbers["path"] == STRAIGHT])
    map_axes.set(xlabel=r"$x$", ylabel=r"$y$", aspect="equal")
    profile_axes.set(xlabel=r"Curve parameter $t$", ylabel=r"Loss $f(x(t), y(t))$", xlim=(0, 1))
    style.add_legend(figure, entries)
    return figure


def _draw_contours(figure: Figure, axes: Axes, tensors: Mapping[str, np.ndarray]) -> None:
    """Filled contours in grey, low losses light, so that the paths carry the colours."""
    losses = tensors["grid_losses"]
    levels = MaxNLocator(LEVELS).tick_values(losses.min(), losses.max())
    filled = axes.contourf(
        tensors["grid_x"],
        tensors["grid_y"],
        losses,
        levels,
        cmap="Greys",
        vmin=levels[0],
        vmax=1.25 * levels[-1],  # no black: paths over the peaks stay visible
    )
    # stairs of grey leave hairlines between them in a PDF unless their edges are drawn too
    filled.set_edgecolor("face")
    bar = figure.colorbar(
        filled, ax=axes, ticks=MaxNLocator(6, steps=style.ROUND_STEPS), shrink=0.85
    )
    bar.ax.set_title("$f(x, y)$")


def _name_ends(axes: Axes, straight: pd.DataFrame) -> None:
    """Name the two ends of the paths; the first of Eq. 3 is at t = 1."""
    for name, row, offset in (
        (r"$\mathbf{w}_1$", straight["t"].idxmax(), (-16, -8)),
        (r"$\mathbf{w}_2$", straight["t"].idxmin(), (6, -3)),
    ):
        end = straight.loc[row]
        axes.plot(end["x"], end["y"], "o", color="black", markersize=4)
        axes.annotate(name, (end["x"], end["y"]), offset, textcoords="offset points", fontsize=9)


def _label_height(axes: Axes, top: pd.Series, order: int, colour: str) -> None:
    """Dot at the height of a path; its name and value in a list on the left, in its colour."""
    axes.plot(top["t"], top["loss"], "o", color=colour, markersize=4, zorder=3)
    axes.annotate(
        rf"$H_{order}$ = {top['loss']:.3f}",
        (top["t"], top["loss"]),
        (0.05, 0.93 - 0.09 * order),
        textcoords="axes fraction",
        va="center",
        color=colour,
        arrowprops={
            "arrowstyle": "-",
            "relpos": (1, 0.5),
            "color": colour,
            "linewidth": 0.5,
            "shrinkB": 2,
        },
    )
