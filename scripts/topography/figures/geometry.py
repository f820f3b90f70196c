"""Figures of the second study: the geometry of optimization paths beside its null model."""

import itertools
import string
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from topography.analysis.optimization_paths import Run, batch_size_curve, probe_curve, probes_of
from topography.figures import style
from topography.figures.geometry_panels import Panel

BINS = 60  # points of a curve, each a mean over neighbouring steps and all seeds
ROW_HEIGHT = 1.9  # inches
COLOURS = ("#1f4fbf", "#e8595c", "#f2bc1b", "#2a9d6f", "#8e5bb5", "#7a5230")
LABELS = {
    "cosine": "cosine",
    "rsi": "RSI",
    "error_bound": "EB",
    "distance": "|w − w*|",
    "update_norm": "|step|",
    "step_cosine": "cosine of the step",
    "step_optimality": "best / actual step length",
}
LINEAR_BELOW = 0.02  # of the axis of a cosine, which is logarithmic beyond and shows both signs
LARGE_COSINE = 0.25  # on its logarithmic axis in the uppermost part
WITH_NULL = ("cosine", "step_cosine", "step_optimality")
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
DASHED = {"linestyle": (0, (3, 2)), "linewidth": 0.9}


def shown_numbers(
    panels: Sequence[Panel], runs: Mapping[str, Run], probes: pd.DataFrame
) -> pd.DataFrame:
    """What the panels show.

    probes: of the runs of the study controls, see `geometry.Probes.table`, with their `run`.

    Returns:
        Rows `panel` (its letter), what it `shows`, `series`, `position` (epoch, or images per
        minibatch), the `mean` over steps and seeds, their `low`est and `high`est, and what is drawn
        beside it as `comparison`: the null model, or for probes the fit.
    """
    tables = []
    for letter, panel in zip(string.ascii_lowercase, panels, strict=False):
        for series, table in _series(panel, runs, probes).items():
            names = {"panel": letter, "shows": LABELS[panel.quantity], "series": series}
            tables.append(table.assign(**names))
    table = pd.concat(tables, ignore_index=True)
    return table[["panel", "shows", "series", "position", "mean", "low", "high", "comparison"]]


def _series(panel: Panel, runs: Mapping[str, Run], probes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    first = runs[panel.runs[0]]
    if panel.kind == "references":
        return {name: _along(first, panel.quantity, name) for name in first.notes["references"]}
    if panel.kind == "gradients":
        return _gradients(first, probes_of(panel.runs[0], probes))
    if panel.kind == "probes":
        curve, noise_scale = probe_curve(first, probes_of(panel.runs[0], probes))
        known = np.isfinite(noise_scale)
        return {f"noise scale {noise_scale:.0f} images" if known else "no noise scale": curve}
    if panel.kind == "batch sizes":
        return {"measured, and the null": batch_size_curve([runs[name] for name in panel.runs])}
    if panel.kind == "seeds":
        return {
            f"seed {seed}": _along(first, panel.quantity, rows=[row])
            for row, seed in enumerate(first.notes["seeds"])
        }
    labels = panel.labels or [name.split("/")[1] for name in panel.runs]
    return {
        label: _along(runs[name], panel.quantity)
        for label, name in zip(labels, panel.runs, strict=True)
    }


def _along(
    run: Run, quantity: str, reference: str = "end", rows: Sequence[int] | None = None
) -> pd.DataFrame:
    """A quantity over the epochs of a run, in bins, and the null model of steps to the end."""
    rows = range(len(run.notes["seeds"])) if rows is None else rows
    values = run.shown(quantity, reference)[rows]
    nulls = np.full(values.shape, np.nan)
    if quantity in WITH_NULL and reference == "end":
        nulls = np.ones(values.shape) if quantity == "step_optimality" else run.shown("null_cosine")
        nulls = nulls[rows] if len(nulls) > len(values) else nulls
    edges = np.unique(np.linspace(0, run.steps, BINS + 1).round().astype(int))
    table = []
    for start, end in itertools.pairwise(edges):
        inside = values[:, start:end]
        inside = inside[np.isfinite(inside)]
        if len(inside):
            middle = (start + end) / 2 / run.notes["steps_per_epoch"]
            null = nulls[:, start:end].mean()
            table.append((middle, inside.mean(), inside.min(), inside.max(), null))
    return pd.DataFrame(table, columns=["position", "mean", "low", "high", "comparison"])


def _gradients(run: Run, probes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cosines of the further gradients, of minibatches of the run's ``probes.size``."""
    size = run.notes["settings"]["probes"]["size"]
    chosen = probes[(probes["batch_size"] == size) & (probes["iteration"] < run.steps)]
    tables = {}
    for name, rows in chosen.groupby("probe", sort=False):
        groups = rows.groupby("iteration")["cosine"]
        table = groups.agg(mean="mean", low="min", high="max").reset_index()
        table["position"] = table["iteration"] / run.notes["steps_per_epoch"]
        tables[str(name)] = table.assign(comparison=np.nan)
    return tables


# Drawing ------------------------------------------------------------------------------------------


def draw(panels: Sequence[Panel], numbers: pd.DataFrame) -> Figure:
    """A panel for each, two to a row; three or four where the same settings come again below."""
    columns = next((n for n in (4, 3) if len(panels) == 3 * n), min(len(panels), 2))
    rows = -(-len(panels) // columns)
    figure = style.new_figure(rows * ROW_HEIGHT + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in grid[len(panels) :]:
        spare.remove()
    for axes, panel, letter in zip(grid, panels, string.ascii_lowercase, strict=False):
        style.name_panel(axes, letter, panel.title)
        _draw_panel(axes, panel, numbers[numbers["panel"] == letter])
    if numbers["comparison"].notna().any():
        dashed = Line2D([], [], color=style.FAINT, label=_dashed_label(panels), **DASHED)
        figure.legend(handles=[dashed], loc="outside lower left", fontsize=7)
    return figure


def _dashed_label(panels: Sequence[Panel]) -> str:
    fit = any(panel.kind == "probes" for panel in panels)
    return "dashed: steps at right angles (null model)" + (
        "; in a, the fit of the noise scale" if fit else ""
    )


def _draw_panel(axes: Axes, panel: Panel, numbers: pd.DataFrame) -> None:
    by_size = panel.kind in ("probes", "batch sizes")
    for (series, table), colour in zip(
        numbers.groupby("series", sort=False), COLOURS * 3, strict=False
    ):
        label = str(series).replace("_", " ")
        marker = "o" if by_size or len(table) < 15 else None
        axes.plot(
            table["position"], table["mean"], color=colour, label=label, marker=marker, markersize=3
        )
        axes.fill_between(
            table["position"], table["low"], table["high"], color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(table["position"], table["comparison"], color=colour, **DASHED)
    _scale(axes, panel, numbers)
    axes.set_xlabel("Images per minibatch" if by_size else "Epoch")
    axes.set_ylabel(LABELS[panel.quantity])
    if numbers["series"].nunique() > 1 or by_size:
        place = {}
        if "cosine" in panel.quantity and not by_size:
            columns = 3 if numbers["series"].nunique() == 5 else 2
            place = {"loc": _room_beside_cosines(numbers), "ncols": columns, "borderaxespad": 0.0}
        axes.legend(fontsize=7, handlelength=0.8, columnspacing=0.8, handletextpad=0.4, **place)


def _room_beside_cosines(numbers: pd.DataFrame) -> str:
    """Where a legend fits: above them, but for short trainings, whose cosines stay large."""
    late = numbers[numbers["position"] > numbers["position"].max() / 2]
    highest = late[["mean", "comparison"]].max(axis=1).groupby(late["series"]).median().max()
    return "upper right" if highest < LARGE_COSINE else "best"


def _scale(axes: Axes, panel: Panel, numbers: pd.DataFrame) -> None:
    """Axes that show what differs by factors, and signs where there are two."""
    low, high = numbers["low"].min(), numbers["high"].max()
    if panel.kind in ("probes", "batch sizes"):
        axes.set_xscale("log", base=2)
        style.label_logarithmic_axis(axes, "y", low, high)
        axes.xaxis.set_major_formatter(PLAIN)
    elif "cosine" in panel.quantity:
        _show_signs(axes, LINEAR_BELOW, [-1.0, -0.1, 0.0, 0.02, 0.1, 1.0])
        axes.set_ylim(min(1.3 * low, 0.0), 1.0)
    elif low > 0:
        style.label_logarithmic_axis(axes, "y", low, high)
    elif panel.quantity == "step_optimality":
        _show_signs(axes, 1.0, [-100.0, -10.0, -1.0, 0.0, 1.0, 10.0, 100.0, 1000.0])
        axes.set_ylim(1.3 * low, 1.3 * high)
    else:
        decade = 10.0 ** np.floor(np.log10(numbers["mean"].abs().min()))
        powers = decade * 10.0 ** np.arange(7)
        _show_signs(axes, decade, [*-powers[::-1], 0.0, *powers])
        axes.set_ylim(1.3 * low, 1.3 * high)


def _show_signs(axes: Axes, linear_below: float, ticks: list[float]) -> None:
    """Logarithmic to both sides of zero."""
    axes.set_yscale("symlog", linthresh=linear_below, linscale=0.3)
    axes.axhline(0.0, color=style.FAINT, linewidth=0.5)
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(NullFormatter())
