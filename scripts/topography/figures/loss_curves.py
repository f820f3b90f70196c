"""Figures 2 and S1: loss over the epochs of the best run of each optimizer."""

import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from topography import storage
from topography.errors import TopographyError
from topography.figures import style
from topography.naming import (
    CHECKPOINTS,
    architecture_label,
    in_paper_order,
    optimizer_label,
)

MINIMUM_LINE = {"linestyle": "--", "linewidth": 0.9}
ROW_HEIGHT = 2.3  # inches
LOGARITHMIC_FROM = 5  # ratio of the longest to the shortest run


class FigureInputError(TopographyError):
    """Loss curves and selections do not fit each other."""


def read_histories(files: Sequence[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """Loss curves per architecture and optimizer, the seeds of all their jobs together.

    Args:
        files: ``{architecture}/{optimizer}/seeds_{first}-{last}.history.csv``.

    Raises:
        StorageError: a file is missing or damaged.
    """
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for file in files:
        names = (file.parent.parent.name, file.parent.name)
        table = storage.read_table(file, ["seed", "epoch", "train_loss", "test_loss"])
        parts.setdefault(names, []).append(table)
    return {names: pd.concat(tables, ignore_index=True) for names, tables in parts.items()}


def shown_numbers(
    histories: Mapping[tuple[str, str], pd.DataFrame],
    selections: Mapping[tuple[str, str], pd.DataFrame],
) -> pd.DataFrame:
    """Curves of the run of rank 1 of each architecture and optimizer, their minima marked.

    Returns:
        Rows ``architecture``, ``optimizer``, ``seed``, ``epoch``, ``train_loss``, ``test_loss``,
        and whether the ``train_minimum`` or ``test_minimum`` weights are of this epoch.

    Raises:
        FigureInputError: a selection is missing, or the selected run has no curve.
    """
    tables = []
    for names, history in histories.items():
        if names not in selections:
            raise FigureInputError(
                f"No selection of {'/'.join(names)} was given. Add {'/'.join(names)}.csv to "
                "--selections."
            )
        selection = selections[names]
        best = selection[selection["rank"] == 1].iloc[0]
        seed = int(best["seed"])
        curve = history[history["seed"] == seed].sort_values("epoch")
        if len(curve) == 0:
            raise FigureInputError(
                f"The best run of {'/'.join(names)}, seed {seed}, has no loss curve in the "
                "given histories. Give the histories of all its training jobs."
            )
        minima = {
            f"{checkpoint}_minimum": curve["epoch"] == best[f"{checkpoint}_epoch"]
            for checkpoint in CHECKPOINTS
        }
        columns = ["seed", "epoch", *(f"{checkpoint}_loss" for checkpoint in CHECKPOINTS)]
        table = curve[columns].assign(**minima)
        table.insert(0, "architecture", names[0])
        table.insert(1, "optimizer", names[1])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def draw(numbers: pd.DataFrame) -> Figure:
    """A row per architecture: train curves on the left, test curves on the right."""
    architectures = numbers["architecture"].unique().tolist()
    optimizers = in_paper_order(numbers["optimizer"])
    colours = style.colours(optimizers, style.OPTIMIZER_COLOURS)
    figure = style.new_figure(len(architectures) * ROW_HEIGHT + 0.4)
    panels = figure.subplots(len(architectures), 2, squeeze=False)
    letters = iter(string.ascii_lowercase)
    for row, architecture in zip(panels, architectures, strict=True):
        curves = numbers[numbers["architecture"] == architecture]
        for axes, checkpoint in zip(row, CHECKPOINTS, strict=True):
            title = f"{architecture_label(architecture)}, {checkpoint} loss"
            style.name_panel(axes, next(letters), title)
            for optimizer in optimizers:
                curve = curves[curves["optimizer"] == optimizer]
                _draw_curve(axes, curve, checkpoint, colours[optimizer])
            losses = curves[f"{checkpoint}_loss"]
            style.label_logarithmic_axis(axes, "y", losses.min(), losses.max())
            _scale_epochs(axes, curves)
            axes.set_xlabel("Epoch")
            axes.set_ylabel(style.loss_label(f"{checkpoint.capitalize()} loss", architecture))
    entries = {optimizer_label(name): Line2D([], [], color=colours[name]) for name in optimizers}
    entries["minimum, where the weights are taken"] = Line2D(
        [], [], color=style.INK, **MINIMUM_LINE
    )
    style.add_legend(figure, entries)
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, checkpoint: str, colour: str) -> None:
    """One loss curve with a dashed line at the epoch of its weights."""
    axes.plot(curve["epoch"], curve[f"{checkpoint}_loss"], color=colour)
    for epoch in curve.loc[curve[f"{checkpoint}_minimum"], "epoch"]:
        axes.axvline(epoch, color=colour, **MINIMUM_LINE)


def _scale_epochs(axes: Axes, curves: pd.DataFrame) -> None:
    """Logarithmic epochs, from 0 on, where a linear axis would hide the shorter run."""
    ends = curves.groupby("optimizer")["epoch"].max()
    if ends.max() > LOGARITHMIC_FROM * ends.min():
        axes.set_xscale("symlog", linthresh=1, linscale=0.3)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(0, ends.max() * 1.02)
