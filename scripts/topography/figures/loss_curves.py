"""Figures 2 and S1: mean loss of the kept runs of each optimizer over the epochs, with bands."""

import string
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from topography.analysis.sets import CHECKPOINTS
from topography.figures import FigureInputError, style
from topography.naming import (
    architecture_label,
    in_paper_order,
    optimizer_label,
)

LEVEL = 0.95
BAND = {"alpha": 0.25, "linewidth": 0}
MINIMUM_LINE = {"linestyle": "--", "linewidth": 0.9}
ROW_HEIGHT = 2.3  # inches
LOGARITHMIC_FROM = 5  # ratio of the longest to the shortest run


def shown_numbers(
    histories: Mapping[tuple[str, str], pd.DataFrame],
    selections: Mapping[tuple[str, str], pd.DataFrame],
) -> pd.DataFrame:
    """Mean curves of the kept runs of each architecture and optimizer, with confidence bands.

    Returns:
        Rows ``architecture``, ``optimizer``, ``runs``, ``epoch``; ``train_loss``, ``train_low``,
        ``train_high`` and the same of test: the mean over the runs and its 95 % interval; and
        ``train_minimum_epoch`` and ``test_minimum_epoch``: the median of the epochs where the runs
        have theirs.

    Raises:
        FigureInputError: a selection is missing, or a kept run has no curve.
    """
    tables = []
    for names, history in histories.items():
        if names not in selections:
            raise FigureInputError(
                f"No selection of {'/'.join(names)} was given. Add {'/'.join(names)}.csv to "
                "--selections."
            )
        selection = selections[names]
        kept = selection[selection["kept"]]
        missing = sorted(set(kept["seed"]) - set(history["seed"]))
        if missing:
            raise FigureInputError(
                f"The kept runs of {'/'.join(names)} with seeds {missing} have no loss curve in "
                "the given histories. Give the histories of all its training jobs."
            )
        curves = history[history["seed"].isin(kept["seed"])]
        if curves["seed"].value_counts().nunique() > 1:
            raise FigureInputError(
                f"The loss curves of the kept runs of {'/'.join(names)} are of different length. "
                "Give the histories of trainings with the same settings."
            )
        columns = {"runs": len(kept)}
        for checkpoint in CHECKPOINTS:
            losses = curves.pivot(index="epoch", columns="seed", values=f"{checkpoint}_loss")
            mean, low, high = mean_with_band(losses.sort_index().to_numpy())
            columns |= {"epoch": np.sort(curves["epoch"].unique()), f"{checkpoint}_loss": mean}
            columns |= {f"{checkpoint}_low": low, f"{checkpoint}_high": high}
        for checkpoint in CHECKPOINTS:
            columns[f"{checkpoint}_minimum_epoch"] = kept[f"{checkpoint}_epoch"].median()
        table = pd.DataFrame(columns)
        table.insert(0, "architecture", names[0])
        table.insert(1, "optimizer", names[1])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def mean_with_band(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [T] over the runs of positive losses [T, n], and the limits of its 95 % interval.

    Student's t interval of the logarithm of the mean, whose standard error is that of the mean over
    the mean: losses spread over decades, and a limit below 0 would mean nothing. NaN for one run.
    """
    from scipy.stats import t  # here: seconds to import

    runs = losses.shape[1]
    mean = losses.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative_error = losses.std(axis=1, ddof=1) / np.sqrt(runs) / mean
    factor = np.exp(t.ppf((1 + LEVEL) / 2, runs - 1) * relative_error)
    return mean, mean / factor, mean * factor


def draw(numbers: pd.DataFrame) -> Figure:
    """A row per architecture: train curves on the left, test curves on the right."""
    architectures = numbers["architecture"].unique().tolist()
    optimizers = in_paper_order(numbers["optimizer"])
    colours = style.optimizer_colours(optimizers)
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
                if len(curve):  # networks from elsewhere have none
                    _draw_curve(axes, curve, checkpoint, colours[optimizer])
            losses = curves[f"{checkpoint}_loss"]
            style.label_logarithmic_axis(axes, "y", losses.min(), losses.max())
            _scale_epochs(axes, curves)
            axes.set_xlabel("Epoch")
            axes.set_ylabel(style.loss_label(f"{checkpoint.capitalize()} loss", architecture))
    entries = {optimizer_label(name): Line2D([], [], color=colours[name]) for name in optimizers}
    entries["95 % interval of the mean"] = Patch(color=style.INK, **BAND)
    entries["median epoch of the minima"] = Line2D([], [], color=style.INK, **MINIMUM_LINE)
    style.add_legend(figure, entries)
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, checkpoint: str, colour: str) -> None:
    """One mean loss curve in its band, with a dashed line at the median epoch of the minima."""
    low, mean, high = (curve[f"{checkpoint}_{name}"] for name in ("low", "loss", "high"))
    axes.fill_between(curve["epoch"], low, high, color=colour, **BAND)
    axes.plot(curve["epoch"], mean, color=colour)
    epoch = curve[f"{checkpoint}_minimum_epoch"].iloc[0]
    axes.axvline(epoch, color=colour, **MINIMUM_LINE)


def _scale_epochs(axes: Axes, curves: pd.DataFrame) -> None:
    """Logarithmic epochs, from 0 on, where a linear axis would hide the shorter run."""
    ends = curves.groupby("optimizer")["epoch"].max()
    if ends.max() > LOGARITHMIC_FROM * ends.min():
        axes.set_xscale("symlog", linthresh=1, linscale=0.3)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(0, ends.max() * 1.02)
