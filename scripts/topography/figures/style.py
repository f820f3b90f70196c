"""The common look of the figures: size, fonts, colours, panels, and how they are written."""

import argparse
import itertools
import string
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from topography import storage
from topography.analysis.sets import CHECKPOINTS
from topography.naming import architecture_label, split_set

WIDTH = 170 / 25.4  # inches: two columns of a journal page
DOTS_PER_INCH = 200
ROUND_STEPS = (1, 2, 2.5, 5, 10)  # between ticks
INK = "#222222"
FAINT = "#777777"

# Those of the paper. Light red and gold differ in lightness too, for readers to whom their hues
# look alike.
SET_COLOURS = {
    "lbfgs_train": "#14286e",
    "lbfgs_test": "#6db3e8",
    "sgd_train": "#e8595c",
    "sgd_test": "#f2bc1b",
}
OPTIMIZER_COLOURS = {"lbfgs": "#1f4fbf", "sgd": "#e8595c"}
# Of the train and the test set of each further optimizer; the first stands for the optimizer too.
FURTHER_COLOURS = (
    ("#1e7d55", "#86cfab"),
    ("#6b3fa0", "#bda3dd"),
    ("#7a5230", "#cfab84"),
    ("#4c4c4c", "#b0b0b0"),
)

# What a loss is measured in, where the paper's architectures tell.
LOSS_UNITS = {
    "fcp": "nats",
    "lenet": "nats",
    "lstm": "nats",
    "autoencoder": "mean squared error",
}

SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "mathtext.fontset": "dejavusans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # text stays text
}


def new_figure(height: float) -> Figure:
    """Empty figure of the page's width and the given height (inches) in the common look."""
    matplotlib.rcParams.update(SETTINGS)
    return Figure(figsize=(WIDTH, height), layout="constrained")


def new_panels(architectures: list[str], row_height: float = 2.3) -> tuple[Figure, list[Axes]]:
    """Figure with one panel per architecture, lettered and named, two to a row."""
    columns = min(len(architectures), 2)
    rows = -(-len(architectures) // columns)
    figure = new_figure(rows * row_height + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in grid[len(architectures) :]:
        spare.remove()
    panels = list(grid[: len(architectures)])
    for letter, axes, architecture in zip(
        string.ascii_lowercase, panels, architectures, strict=False
    ):
        name_panel(axes, letter, architecture_label(architecture))
    return figure, panels


def name_panel(axes: Axes, letter: str, title: str = "") -> None:
    """Write the panel's letter in bold at its upper left, and its title beside the letter."""
    axes.set_title(letter, loc="left", fontweight="bold", fontsize=10)
    axes.set_title(title)


def loss_label(quantity: str, architecture: str) -> str:
    """Axis label of a loss, with its unit where it is known."""
    unit = LOSS_UNITS.get(architecture)
    return f"{quantity} ({unit})" if unit else quantity


def optimizer_colours(optimizers: Iterable[str]) -> dict[str, str]:
    """Colour of each optimizer: the paper's, or a further one in order of appearance."""
    names = list(dict.fromkeys(optimizers))
    further = _further_colours(name for name in names if name not in OPTIMIZER_COLOURS)
    return {name: OPTIMIZER_COLOURS.get(name) or further[name][0] for name in names}


def set_colours(sets: Iterable[str]) -> dict[str, str]:
    """Colour of each set: the paper's, or that of its checkpoint among those of its optimizer."""
    names = list(dict.fromkeys(sets))
    further = _further_colours(split_set(name)[0] for name in names if name not in SET_COLOURS)
    colours = {}
    for name in names:
        optimizer, checkpoint = split_set(name)
        shade = CHECKPOINTS.index(checkpoint)
        colours[name] = SET_COLOURS.get(name) or further[optimizer][shade]
    return colours


def _further_colours(optimizers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colours of the train and test sets of optimizers that the paper does not have."""
    names = dict.fromkeys(optimizers)
    return dict(zip(names, itertools.cycle(FURTHER_COLOURS), strict=False))


def label_logarithmic_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Make an axis logarithmic, with plain numbers, and 2 and 5 between if it is short."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    short = high / low < 1e3
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,), numticks=12))
    if short:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def add_legend(figure: Figure, entries: dict[str, Artist]) -> None:
    """One legend for all panels, above them: label -> what it explains."""
    columns = min(len(entries), 4)  # more run off the edges of the page
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=columns)


def add_output_arguments(parser: argparse.ArgumentParser, dataset: bool = True) -> None:
    """Arguments of every script that draws: what `stamp` says and where `save` writes.

    dataset: whether the figure depends on one.
    """
    parser.add_argument("--scale", required=True, help="name of the scale, stamped in a corner")
    if dataset:
        parser.add_argument(
            "--dataset", required=True, help="name of the dataset, stamped likewise"
        )
    parser.add_argument(
        "--output-stem",
        type=Path,
        required=True,
        help="figure to write, without suffix: .pdf, .png and .csv are added",
    )


def stamp(figure: Figure, scale: str, dataset: str | None = None) -> None:
    """Say small in the lower right corner what the figure was computed from."""
    text = f"scale: {scale}" + (f", data: {dataset}" if dataset else "")
    figure.supxlabel(text, x=0.995, ha="right", fontsize=7, color=FAINT)


def save(figure: Figure, numbers: pd.DataFrame, stem: Path) -> None:
    """Write ``stem``.pdf, .png and .csv; equal figures give equal files."""
    storage.write_table(f"{stem}.csv", numbers)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: both files alike, and less to compute
    # Neither the time nor the version of the writer: nothing that differs between two equal runs.
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with storage.atomic_path(f"{stem}{suffix}") as temporary:
            figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata=metadata)
