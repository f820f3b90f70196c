"""Which panels the figures of the second study have, and which runs each panel shows.

Numbered as in Guille-Escuret et al., "No Wrong Turns" (arXiv 2306.11922); docs/geometry.md says
what stands in the place of what. Runs are named `<study>/<run>` as in `config.yaml` under
`geometry`.
"""

from typing import NamedTuple


class Panel(NamedTuple):
    """One panel: its title, what it shows, and of which runs.

    kind: "path" shows the quantity over the epochs of the runs, "seeds" of each seed of one run,
    "references" with each reference point of one run, and "gradients" of its further gradients;
    "probes" the cosine over the sizes of minibatches on one path, and "batch sizes" over those of
    whole runs.
    labels: of the runs in the legend, where their names do not say what differs.
    """

    title: str
    quantity: str
    runs: tuple[str, ...]
    kind: str = "path"
    labels: tuple[str, ...] = ()


COSINE, RSI, ERROR_BOUND = "cosine", "rsi", "error_bound"

OPTIMIZERS = ("optimizer/sgd", "optimizer/momentum", "optimizer/adam")
BATCH_SIZES = tuple(f"batch_size/batch_{size}" for size in (32, 64, 128, 256, 512))
TEXT_BATCH_SIZES = tuple(f"text/batch_{size}" for size in (16, 64, 256))
EPOCHS = tuple(f"epochs/epochs_{number}" for number in (5, 10, 20))
WIDTHS = tuple(f"shape/width_{units}" for units in (32, 128, 512))
DEPTHS = ("shape/depth_1", "shape/width_128", "shape/depth_4")
DEPTH_LABELS = ("1 hidden layer", "2 hidden layers", "4 hidden layers")
CONVOLUTIONAL = ("networks/lenet", "networks/resnet")
SETTINGS = {
    "interpolating": ("regime/interpolating",),
    "label noise": ("regime/noisy",),
    "schedule": ("schedule/warmup_cosine",),
    "text": ("text/batch_64",),
}


def _rsi_and_error_bound(
    title: str, runs: tuple[str, ...], labels: tuple[str, ...] = ()
) -> list[Panel]:
    return [Panel(title, quantity, runs, labels=labels) for quantity in (RSI, ERROR_BOUND)]


FIGURES = {
    "fig1": [
        Panel("width", COSINE, WIDTHS),
        Panel("depth", COSINE, DEPTHS, labels=DEPTH_LABELS),
        Panel("batch size, text", COSINE, TEXT_BATCH_SIZES),
        Panel("optimizer", COSINE, OPTIMIZERS),
        Panel("two convolutional networks", COSINE, CONVOLUTIONAL),
    ],
    "fig2": [
        Panel(title, quantity, runs)
        for quantity in (RSI, ERROR_BOUND, COSINE)
        for title, runs in SETTINGS.items()
    ],
    "fig3": [
        Panel(title, "step_optimality", runs)
        for title, runs in {**SETTINGS, "constant rate": ("schedule/constant",)}.items()
    ],
    "fig4": [
        Panel("seeds", COSINE, ("optimizer/sgd",), "seeds"),
        Panel("epoch budget", COSINE, EPOCHS),
    ],
    "fig5": [
        Panel(title, quantity, (f"functions/{run}",))
        for quantity in (RSI, ERROR_BOUND, COSINE)
        for title, run in (
            ("ALM", "asymmetric_linear"),
            ("SM", "sinusoidal_mixture"),
            ("SM, small", "small_steps"),
        )
    ],
    "fig6": [
        Panel("batch size", COSINE, BATCH_SIZES),
        Panel("mean over the run", COSINE, BATCH_SIZES, "batch sizes"),
    ],
    "fig7": [
        *_rsi_and_error_bound("width", WIDTHS),
        *_rsi_and_error_bound("depth", DEPTHS, DEPTH_LABELS),
    ],
    "fig8": _rsi_and_error_bound("batch size, text", TEXT_BATCH_SIZES),
    "fig9": _rsi_and_error_bound("batch size", BATCH_SIZES),
    "fig10": _rsi_and_error_bound("optimizer", OPTIMIZERS),
    "fig11": _rsi_and_error_bound("convolutional networks", CONVOLUTIONAL),
    "fig12": [
        Panel("distance left", "distance", OPTIMIZERS),
        Panel("length of a step", "update_norm", OPTIMIZERS),
    ],
    "fig13": [Panel(title, "distance", runs) for title, runs in SETTINGS.items()],
    "fig14": [
        Panel("equal numbers of parameters", COSINE, ("networks/resnet", "networks/mlp")),
    ],
    "controls": [
        Panel("other points of reference", COSINE, ("controls/trajectory",), "references"),
        Panel("other gradients", COSINE, ("controls/trajectory",), "gradients"),
    ],
    "probes": [
        Panel("minibatches on one path", COSINE, ("controls/trajectory",), "probes"),
        Panel("one run per batch size", COSINE, BATCH_SIZES, "batch sizes"),
    ],
    "main": [
        Panel("gradient", COSINE, ("main/sgd", "main/lbfgs")),
        Panel("step", "step_cosine", ("main/sgd", "main/lbfgs")),
        Panel("step optimality", "step_optimality", ("main/sgd", "main/lbfgs")),
        Panel("distance left", "distance", ("main/sgd", "main/lbfgs")),
    ],
}
