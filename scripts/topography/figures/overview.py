"""Figure 1: images go in, a network is trained, its solutions lie in valleys of a landscape."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from mpl_toolkits.mplot3d import Axes3D

from topography.figures import style

HEIGHT = 2.6  # inches
IMAGES_PER_LABEL = 2
TILE_COLUMNS = 5
INPUT_TILE = 9  # shown as the input of the network, because it lies beside it; any would do
GAP = 2  # pixels between tiles
HIGHLIGHT = "#e8595c"

# name, nodes drawn, colour; layers with dots in the middle stand for more nodes than drawn
LAYERS = (
    ("input\npixels", 8, "#9fb4d8"),
    ("hidden", 6, "#d5d9e0"),
    ("hidden", 6, "#d5d9e0"),
    ("output", 5, "#f2bc1b"),
)


def shown_numbers(labels: np.ndarray) -> pd.DataFrame:
    """Which train images panel a shows: the first two of each label.

    Args:
        labels: [N], of the train images.

    Returns:
        Rows ``tile`` (0, 1, ... row by row), ``image`` (index of the train image), ``label``.
        Panels b and c are sketches without numbers.
    """
    images = np.concatenate(
        [
            np.flatnonzero(labels == label)[occurrence : occurrence + 1]
            for occurrence in range(IMAGES_PER_LABEL)
            for label in np.unique(labels)
        ]
    )
    return pd.DataFrame(
        {"tile": np.arange(len(images)), "image": images, "label": labels[images].astype(int)}
    )


def draw(numbers: pd.DataFrame, images: np.ndarray) -> Figure:
    """Sample images (a), a network (b), a landscape with two minima (c).

    Args:
        numbers: the images to show.
        images: uint8 [N, 28, 28], or [N, 3, 32, 32] in colour, the train images.
    """
    figure = style.new_figure(HEIGHT)
    figure.get_layout_engine().set(wspace=0.08)
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1.05, 1.3))
    samples = figure.add_subplot(grid[0])
    network = figure.add_subplot(grid[1])
    landscape = figure.add_subplot(grid[2], projection=Axes3D.name)
    for letter, axes in zip("abc", (samples, network, landscape), strict=True):
        style.name_panel(axes, letter)
        axes.set_axis_off()
    frame = _draw_samples(samples, images[numbers["image"].to_numpy()])
    _draw_network(network)
    _draw_landscape(landscape)
    figure.add_artist(
        ConnectionPatch(
            (1, 0.5),
            (-0.35, 0),
            frame.get_transform(),
            network.transData,
            arrowstyle="-|>",
            color=HIGHLIGHT,
        )
    )
    return figure


def _draw_samples(axes: Axes, images: np.ndarray) -> Rectangle:
    """Tile the images and return the frame around the one that goes into the network."""
    white = 0  # grey images are drawn as ink on paper
    if images.ndim == 4:
        images, white = np.moveaxis(images, 1, -1), 255
    rows, side = -(-len(images) // TILE_COLUMNS), images.shape[1]
    step = side + GAP
    shape = (rows * step - GAP, TILE_COLUMNS * step - GAP, *images.shape[3:])
    mosaic = np.full(shape, white, images.dtype)
    for tile, image in enumerate(images):
        top, left = (step * place for place in divmod(tile, TILE_COLUMNS))
        mosaic[top : top + side, left : left + side] = image
    tiles = axes.inset_axes((0, 0, 1, 1))  # keeps its own aspect, and the panel its full height
    tiles.set_axis_off()
    tiles.imshow(mosaic, cmap="Greys", vmin=0, vmax=255, interpolation="nearest")
    top, left = (
        step * place - (GAP + 1) / 2
        for place in divmod(min(INPUT_TILE, len(images) - 1), TILE_COLUMNS)
    )
    frame = Rectangle(
        (left, top), step, step, fill=False, edgecolor=HIGHLIGHT, linewidth=1.5, clip_on=False
    )
    return tiles.add_patch(frame)


def _draw_network(axes: Axes) -> None:
    """Fully connected layers of nodes, from left to right."""
    nodes = [
        np.column_stack([np.full(count, layer), _node_heights(count)])
        for layer, (_, count, _) in enumerate(LAYERS)
    ]
    lines = [
        (start, end) for left, right in itertools.pairwise(nodes) for start in left for end in right
    ]
    axes.add_collection(LineCollection(lines, colors="#b8bcc4", linewidths=0.35, zorder=1))
    for layer, ((name, count, colour), places) in enumerate(zip(LAYERS, nodes, strict=True)):
        axes.scatter(*places.T, s=42, color=colour, edgecolors=style.INK, linewidths=0.6, zorder=2)
        axes.text(layer, -1.25, name, ha="center", va="top", fontsize=7)
        if count % 2 == 0:
            axes.text(layer, 0, "\u22ee", ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.4, len(LAYERS) - 0.6), ylim=(-1.65, 1.2))


def _node_heights(count: int) -> np.ndarray:
    """Heights of the nodes of a layer around 0; an even count leaves room for dots between."""
    places = np.arange(count) - (count - 1) / 2
    if count % 2 == 0:
        places += 0.5 * np.sign(places)
    return 0.25 * places


def _draw_landscape(axes: Axes3D) -> None:
    """Surface with two minima in one valley, and a low barrier between them."""
    axes.computed_zorder = False  # or the surface would hide the minima
    x, y = np.meshgrid(np.linspace(-1.6, 1.6, 97), np.linspace(-1.2, 1.2, 73))
    loss = _valley(x, y)
    axes.plot_surface(
        x,
        y,
        loss,
        cmap="viridis",
        rcount=len(y),
        ccount=len(x[0]),
        linewidth=0,
        antialiased=False,
        rasterized=True,
        zorder=1,
    )
    for half in (x < 0, x > 0):
        lowest = np.where(half, loss, np.inf).argmin()
        place = x.flat[lowest], y.flat[lowest], loss.flat[lowest]
        axes.scatter(*place, color="red", edgecolors="white", s=36, depthshade=False, zorder=2)
    axes.text2D(0.5, 0.02, "loss landscape", transform=axes.transAxes, ha="center", fontsize=7)
    axes.view_init(elev=48, azim=-62)
    axes.set_box_aspect((1.3, 1.0, 0.55), zoom=1.15)


def _valley(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A double well along x, a parabola across it, and ripples on the slopes."""
    wells = 0.15 * (x**2 - 1) ** 2
    slopes = 0.45 * (y - 0.15 * x) ** 2
    return wells + slopes + 0.12 * y**2 * np.cos(4 * x + 2 * y)
