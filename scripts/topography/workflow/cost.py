"""What a configuration costs: evaluations of networks, time, memory and disk, before it runs.

Counts of evaluations follow from the configuration alone, as the optimizers and the path finder do
them. Times are these counts times the rates that `topography.workflow.probe` measures on a device.
Only the costly rules are counted, training and path finding, and the search for converged paths,
which is made on request; every other job takes seconds.

Everything is proportional to seeds, pairs and images, but for memory: it depends on what shares a
job, never on how many jobs there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topography.architectures import get_architecture
from topography.architectures.base import (
    Architecture,
    BlockwiseArchitecture,
    DenseInputArchitecture,
)
from topography.device import gpu_numbers
from topography.errors import TopographyError
from topography.jobs import converged_searches, path_searches
from topography.objective import CPU_ACTIVATIONS, CPU_CHUNK_RANGE, MOST_ACTIVATIONS
from topography.optimizers import get_optimizer
from topography.optimizers.lbfgs import LBFGS
from topography.optimizers.sgd import SGD
from topography.workflow.configuration import (
    Batch,
    architecture_settings,
    for_architecture,
    pair_batches,
    path_jobs,
    search_jobs,
    search_settings,
    searched_pairs,
    seed_batches,
    training_jobs,
)

Settings = Mapping[str, Any]
# Seconds per unit of every kind of work of one architecture.
Rates = Mapping[str, float]

TRAIN, PATHS, CONVERGED = "train_networks", "find_paths", "converge_paths"
ON_REQUEST = (CONVERGED,)  # not among the default targets

# Kinds of work, and what one unit of each is.
LOSS = "loss"  # one network, one image
GRADIENT = "gradient"  # one network, one image, all images at once
SGD_STEP = "sgd step"  # one network, one image of a minibatch, the update included
LINE_LOSS = "line loss"  # one trial step, one image, with its share of the line's projections
DIRECTION = "direction"  # one network: the two-loop recursion and the histories
PATH_GRADIENT = "path gradient"  # one point, one image, with its share of the Adam step
SEARCH_GRADIENT = "search gradient"  # the same for a path that is searched on, at fewer points
PATH_LOSS = "path loss"  # one point, one image

FLOAT, DOUBLE = 4, 8  # bytes
DATASET_IMAGES = 70_000  # of MNIST and Fashion-MNIST; the others have fewer
HISTORY_ROW = 40  # bytes of a line of a loss curve, about
CONVERGED_ROW = 100  # bytes of a line of a table of converged paths, about

# How many tensors the size of a training's weights, or of a path's vectors, live at a time, beside
# those that are counted one by one.
TRAINING_VECTORS = 12
PATH_VECTORS = 10


@dataclass(frozen=True)
class Stage:
    """All jobs of one rule for one architecture, and one optimizer or landscape.

    part: the optimizer of a training, the landscape of a search for paths. jobs: their names, as
    their benchmark files have them. work: units by kind, of all jobs together. results,
    checkpoints: bytes on disk, of all jobs; checkpoints are gone at the end. memory: bytes that the
    largest job needs beside the interpreter and its libraries.
    """

    rule: str
    architecture: str
    part: str
    jobs: tuple[str, ...]
    work: Mapping[str, int]
    results: int
    checkpoints: int
    memory: int

    def seconds(self, rates: Rates, startup: float) -> float:
        """Seconds of all jobs together, on one core or one GPU; startup: of every job."""
        work = sum(units * rates[kind] for kind, units in self.work.items())
        return len(self.jobs) * startup + work


def stages(config: Settings, device: str) -> list[Stage]:
    """The stages of a complete and checked configuration on a "cpu" or "cuda" device."""
    found = []
    for name in config["architectures"]:
        settings = for_architecture(config, name)
        architecture = get_architecture(name, **architecture_settings(config, name))
        if architecture.image_size is None:
            raise TopographyError(
                f"The architecture {name} reads texts, but what is estimated are networks for "
                "images. Leave it out with `only`; the second study trains it."
            )
        pairs = pair_batches(config, name)
        for optimizer in settings["optimizers"]:
            seeds = seed_batches(config, name, optimizer)
            jobs = training_jobs(config, name, optimizer)
            if jobs:  # none for weights from elsewhere
                found.append(
                    _training(name, architecture, settings, optimizer, jobs, seeds, device)
                )
        for landscape, sets in settings["paths"]["landscapes"].items():
            jobs = path_jobs(config, name, landscape)
            found.append(
                _path_finding(
                    name, architecture, settings, landscape, jobs, len(sets), pairs, device
                )
            )
        jobs = search_jobs(config, name)
        found.append(_converged(config, name, architecture, settings, jobs, device))
    return found


def training_work(settings: Settings, optimizer: str, seeds: int) -> dict[str, int]:
    """Units of work of training `seeds` networks; settings: of the architecture."""
    train, test = settings["images"]["train"], settings["images"]["test"]
    method = get_optimizer(optimizer, **settings["optimizers"][optimizer])
    epochs = method.epochs
    test_losses = (epochs + 1) * test  # before the first epoch and after each
    if isinstance(method, SGD):
        return {
            SGD_STEP: seeds * epochs * train,
            LOSS: seeds * ((epochs + 1) * train + test_losses),
        }
    if isinstance(method, LBFGS):
        return {
            DIRECTION: seeds * epochs,
            # The most there can be: searches end early where losses differ little.
            LINE_LOSS: seeds * epochs * method.line_search_budget * train,
            GRADIENT: seeds * (epochs + 1) * train,
            LOSS: seeds * test_losses,
        }
    return {
        epoch_of(optimizer): seeds * epochs * train,
        LOSS: seeds * (train + test_losses),
    }


def epoch_of(optimizer: str) -> str:
    """Kind of work of an optimizer that is not taken apart: its epoch, per network and image."""
    return f"{optimizer} epoch"


def path_work(settings: Settings, landscape: str, pairs: int) -> dict[str, int]:
    """Units of work of finding and measuring `pairs` paths; settings: of the architecture."""
    images, paths = settings["images"][landscape], settings["paths"]
    points, fine_points, per_step = paths["points"], paths["fine_points"], paths["images_per_step"]
    visited = points if per_step else points - 2  # the ends once, if all steps have all images
    measured = fine_points + points  # the path on the fine grid, the straight line on the other
    if (fine_points - 1) % (points - 1):
        measured += points  # the fine grid does not hold the points of the other
    return {
        PATH_GRADIENT: pairs * paths["steps"] * visited * (per_step or images),
        PATH_LOSS: pairs * (measured + points - visited) * images,
    }


def converged_work(settings: Settings, images: int, pairs: int) -> dict[str, int]:
    """The most units of work of searching `pairs` paths until they settle, on so many images.

    settings: as `topography.workflow.configuration.search_settings` gives them. Searches end
    earlier where paths settle.
    """
    searches, first = pairs * len(settings["terms"]), settings["first"]
    points, fine_points = first["points"], first["fine_points"]
    measured = fine_points + (points if (fine_points - 1) % (points - 1) else 0)
    later = first["steps"] * (2 ** settings["doublings"] - 1)
    first_images, later_images = (part["images_per_step"] or images for part in (first, settings))
    return {
        PATH_GRADIENT: searches * first["steps"] * (points - 2) * first_images,
        SEARCH_GRADIENT: searches * later * settings["points"] * later_images,
        PATH_LOSS: searches * (settings["doublings"] + 1) * measured * images,
    }


def _training(
    name: str,
    architecture: Architecture,
    settings: Settings,
    optimizer: str,
    jobs: list[str],
    seeds: list[Batch],
    device: str,
) -> Stage:
    vector = FLOAT * architecture.parameter_count
    method = get_optimizer(optimizer, **settings["optimizers"][optimizer])
    largest, total = max(map(len, seeds)), sum(map(len, seeds))
    histories = 2 * method.history_size if isinstance(method, LBFGS) else 0  # steps and changes
    projections = 0
    if isinstance(method, LBFGS) and isinstance(architecture, DenseInputArchitecture):
        # Point and direction, kept for the whole line search.
        projections = 2 * architecture.features * settings["images"]["train"] * FLOAT
    kept = 2 * settings["selection"]["keep"]  # of both minima
    return Stage(
        rule=TRAIN,
        architecture=name,
        part=optimizer,
        jobs=tuple(jobs),
        work=training_work(settings, optimizer, total),
        results=(2 * total + kept) * vector + total * (method.epochs + 1) * HISTORY_ROW,
        checkpoints=total * (4 + histories) * vector,
        memory=_images_memory(architecture, settings, device)
        + largest * ((2 * histories + TRAINING_VECTORS) * vector + projections)
        + _activations_memory(architecture, 1, device),
    )


def _path_finding(
    name: str,
    architecture: Architecture,
    settings: Settings,
    landscape: str,
    jobs: list[str],
    sets: int,
    pairs: list[Batch],
    device: str,
) -> Stage:
    vector, paths = FLOAT * architecture.parameter_count, settings["paths"]
    numbers = 2 * paths["points"] + paths["fine_points"] + paths["steps"] + 4  # losses, lengths
    pair = paths["terms"] * vector + numbers * DOUBLE
    largest, total = max(map(len, pairs)), sets * sum(map(len, pairs))
    at_a_time = path_searches.PAIRS_AT_A_TIME[device]
    side_by_side = min(largest, at_a_time)
    searched = sets * sum(min(len(batch), at_a_time) for batch in pairs)
    vectors = _path_vectors(architecture, paths["terms"], paths["fine_points"])
    return Stage(
        rule=PATHS,
        architecture=name,
        part=landscape,
        jobs=tuple(jobs),
        work=path_work(settings, landscape, total),
        results=total * pair,
        # Of those that are searched, also the path of the last step and Adam's two moments.
        checkpoints=total * pair + 3 * searched * paths["terms"] * vector,
        memory=_images_memory(architecture, settings, device)
        + side_by_side * vectors * vector
        # What is done, the batches on their way into it, and all of it on its way to the disk.
        + (3 * largest * pair if device == "cpu" else 0)
        + _activations_memory(architecture, paths["points"], device),
    )


def _converged(
    config: Settings,
    name: str,
    architecture: Architecture,
    settings: Settings,
    jobs: list[str],
    device: str,
) -> Stage:
    search, pairs = search_settings(config, name), searched_pairs(config, name)
    total = len(jobs) * pairs
    vector, terms = FLOAT * architecture.parameter_count, max(search["terms"])
    fine_points = search["first"]["fine_points"]
    side_by_side = min(pairs, converged_searches.PAIRS_AT_A_TIME[device])
    rows = total * len(search["terms"]) * (search["doublings"] + 1)
    return Stage(
        rule=CONVERGED,
        architecture=name,
        part="train",
        jobs=tuple(jobs),
        work=converged_work(search, settings["images"]["train"], total),
        results=rows * CONVERGED_ROW,
        checkpoints=len(jobs) * side_by_side * 4 * terms * vector,  # path, mean, Adam's two moments
        memory=_images_memory(architecture, settings, device)
        + side_by_side * _path_vectors(architecture, terms, fine_points) * vector
        + _activations_memory(architecture, search["first"]["points"], device),
    )


def _path_vectors(architecture: Architecture, terms: int, fine_points: int) -> int:
    """Tensors of the size of a weight vector that a path needs while it is searched."""
    vectors = (terms + 2) * PATH_VECTORS
    if isinstance(architecture, DenseInputArchitecture):
        return vectors
    return vectors + fine_points  # all points of the paths as networks


def _images_memory(architecture: Architecture, settings: Settings, device: str) -> int:
    """Bytes of the images as numbers, as they come, sorted and, for a dense first layer, without
    blank pixels; and, in main memory, of the dataset while it is checked."""
    images = settings["images"]["train"] + settings["images"]["test"]
    copies = 3 if isinstance(architecture, DenseInputArchitecture) else 2
    dataset = DATASET_IMAGES * (1 + architecture.image_size)  # bytes in its file, with labels
    numbers = copies * images * architecture.image_size
    return numbers * FLOAT + (2 * dataset if device == "cpu" else 0)


def _activations_memory(architecture: Architecture, points: int, device: str) -> int:
    """Bytes of a chunk of work (see `topography.objective`), with a copy for gradients."""
    if device != "cpu":
        return 2 * gpu_numbers() * FLOAT
    floats = architecture.activation_floats * points
    if isinstance(architecture, BlockwiseArchitecture):
        return 2 * CPU_ACTIVATIONS * FLOAT
    smallest, largest = CPU_CHUNK_RANGE
    numbers = min(max(CPU_ACTIVATIONS, smallest * floats), largest * floats)
    return 2 * min(numbers, max(MOST_ACTIVATIONS, floats)) * FLOAT
