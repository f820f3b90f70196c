"""The three kinds of work that the paper's computations consist of, done twice.

Once by the engine, once the way a notebook does it: one network at a time, ordinary PyTorch
modules, a backward pass at every evaluation of a line search, a Python loop over the points of a
path.
Both get the same images and the same networks. The notebook's way is measured twice: all images in
one batch, as notebooks are written, and batches of 1000, which suit the caches of a CPU.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reference.dataloader import PictureDataset, loss_over_loader
from reference.lbfgs import run_lbfgs
from reference.networks import build_network, flat_gradient, load_vector, mean_loss
from reference.paths import point_on_path, wave
from reference.sgd import run_sgd
from topography.architectures import get_architecture
from topography.architectures.base import Architecture, DenseInputArchitecture
from topography.objective import Objective, order_by_margins
from topography.optimizers import get_optimizer
from topography.optimizers.base import minibatch_order
from topography.paths import path_losses_and_gradients
from topography.training import initial_params

ALL_IMAGES = 60_000  # results are scaled to the whole of MNIST's training images
MINIBATCH_IMAGES = 6016  # of the epochs of SGD, or all where there are fewer
RUN = 1024  # neighbours, of images that stand for more
POINTS, TERMS = 51, 10
ITERATIONS = 2  # of L-BFGS, from the initial weights
# Trained and searched side by side by the engine; what counts is the time of one.
SEEDS, PAIRS = {"cpu": 4, "cuda": 75}, {"cpu": 1, "cuda": 50}
BATCH_SIZE, LEARNING_RATE = 64, 0.1
REFERENCE_CHUNK = 1000
REFERENCE_POINTS = 2  # of the path that the loop visits; its time is proportional to their number
WHOLE, CHUNKED = "loop, whole batch", "loop, batches of 1000"

# Floating-point operations of a forward pass of one image, matrix products only. A backward pass
# takes twice as many.
FORWARD_OPERATIONS = {
    "fcp": 2 * 42_200,
    "autoencoder": 2 * 52_224,
    "lenet": 2 * (25 * 6 * 784 + 150 * 16 * 100 + 400 * 120 + 120 * 84 + 84 * 10),
    "lstm": 2 * (28 * 4 * 48 * (28 + 48) + 48 * 10),
}


@dataclass(frozen=True)
class Work:
    """One row of the table; the engine's part is the function that `ENGINES` prepares.

    ordinary: functions to time, by name.
    share: how much of the whole work one call does, by name; that of the engine is "engine".
    operations: floating-point operations of the whole work as the engine does it.
    """

    name: str
    architecture: str
    ordinary: dict[str, Callable[[], object]]
    share: dict[str, float]
    operations: float


def all_work(name: str, images: Tensor, labels: Tensor) -> list[Work]:
    """The three kinds of work with one architecture on images [N, D]."""
    architecture = get_architecture(name)
    objective = Objective(architecture, images, labels)
    return [
        path_step(architecture, objective),
        lbfgs_iteration(architecture, objective),
        sgd_epoch(architecture, for_minibatches(objective)),
    ]


def part_of(objective: Objective, count: int) -> Objective:
    """The objective over so many of its images, or all if it has no more: runs of neighbours in the
    engine's order, which have as many blank pixels in common as among all images."""
    if count >= objective.count:
        return objective
    runs = max(count // RUN, 1)
    between = (objective.count - count) / runs  # images passed over from run to run
    firsts = [round(between / 2 + run * (between + count / runs)) for run in range(runs)]
    order = order_by_margins(objective.images)
    return objective.subset(torch.cat([order[first : first + count // runs] for first in firsts]))


def for_minibatches(objective: Objective) -> Objective:
    """The same with as many images as epochs of SGD are measured on."""
    return part_of(objective, MINIBATCH_IMAGES)


def any_path(objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
    """Ends [P] and [P] of a path, and its coefficients [K, P]."""
    start, end = initial_params(objective.architecture, [0, 1])
    coefficients = 0.01 * torch.randn(TERMS, len(start), generator=torch.Generator().manual_seed(0))
    start, end, coefficients = (
        vectors.to(objective.images.device) for vectors in (start, end, coefficients)
    )
    return start, end, coefficients


def path_engine(objective: Objective) -> Callable[[], object]:
    """Losses and gradients for one Adam step of paths of 51 points and 10 terms, of which the two
    ends are visited once in a search, and not in a step."""
    pairs = PAIRS[objective.images.device.type]
    start, end, coefficients = (
        vectors.expand(pairs, *vectors.shape).contiguous() for vectors in any_path(objective)
    )
    return partial(
        path_losses_and_gradients, objective, start, end, coefficients, POINTS, penalty=1e-4
    )


def networks(objective: Objective) -> tuple[list[int], Tensor]:
    """Seeds, and the networks [S, P] they begin with."""
    device = objective.images.device
    seeds = list(range(SEEDS[device.type]))
    return seeds, initial_params(objective.architecture, seeds).to(device)


def lbfgs_engine(objective: Objective) -> Callable[[], object]:
    """The first iterations of L-BFGS for a few seeds at once."""
    seeds, params = networks(objective)
    ready = get_optimizer("lbfgs", iterations=ITERATIONS)
    started, _ = ready.start(objective, params)

    def iterate() -> None:
        optimizer = copy(ready)  # still knows where its first gradient was taken
        moving, state = params, started
        for iteration in range(1, ITERATIONS + 1):
            moving, state, _ = optimizer.run_epoch(objective, moving, state, seeds, iteration)

    return iterate


def sgd_engine(objective: Objective) -> Callable[[], object]:
    """An epoch of SGD for a few seeds at once."""
    seeds, params = networks(objective)
    optimizer = get_optimizer("sgd", learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE, epochs=1)
    return partial(optimizer.run_epoch, for_minibatches(objective), params, {}, seeds, 1)


PATH, LBFGS, SGD = "Adam step of a path", "iteration of L-BFGS", "epoch of SGD"
ENGINES = {PATH: path_engine, LBFGS: lbfgs_engine, SGD: sgd_engine}


def path_step(architecture: Architecture, objective: Objective) -> Work:
    """One Adam step of one path; of its points the ordinary way visits two."""
    start, end, coefficients = any_path(objective)

    def loop(batch: int) -> None:
        evaluate = loss_and_gradient(architecture.name, objective, batch)
        gradients = torch.zeros_like(coefficients)
        for number in range(1, REFERENCE_POINTS + 1):
            t = number / (POINTS - 1)
            _, gradient = evaluate(point_on_path(t, start, end, coefficients))
            for n in range(TERMS):
                gradients[n] += wave(n + 1, t) * gradient

    share = objective.count / ALL_IMAGES
    return Work(
        PATH,
        architecture.name,
        {WHOLE: partial(loop, objective.count), CHUNKED: partial(loop, REFERENCE_CHUNK)},
        {
            "engine": PAIRS[objective.images.device.type] * share,
            WHOLE: share * REFERENCE_POINTS / POINTS,
            CHUNKED: share * REFERENCE_POINTS / POINTS,
        },
        ALL_IMAGES * _path_operations(architecture, _pixels(objective, POINTS - 2)),
    )


def lbfgs_iteration(architecture: Architecture, objective: Objective) -> Work:
    """An iteration of full-batch L-BFGS with its line search, per network."""
    device = objective.images.device
    start = initial_params(architecture, [0])[0].to(device)

    def loop(batch: int) -> list[int]:
        evaluate = loss_and_gradient(architecture.name, objective, batch)
        return run_lbfgs(evaluate, start, ITERATIONS).evaluations

    evaluations = sum(loop(REFERENCE_CHUNK))
    share = ITERATIONS * objective.count / ALL_IMAGES
    gradients = evaluations + ITERATIONS  # as many as the loop takes, and one before it begins
    loop_share = share * (gradients + 1) / gradients
    return Work(
        LBFGS,
        architecture.name,
        {WHOLE: partial(loop, objective.count), CHUNKED: partial(loop, REFERENCE_CHUNK)},
        {"engine": SEEDS[device.type] * share, WHOLE: loop_share, CHUNKED: loop_share},
        ALL_IMAGES
        * _lbfgs_operations(architecture, evaluations / ITERATIONS, _pixels(objective, 1)),
    )


def sgd_epoch(architecture: Architecture, objective: Objective) -> Work:
    """An epoch of minibatches of 64 and the train loss after it, per network."""
    device = objective.images.device
    start = initial_params(architecture, [0])[0].to(device)

    def with_dataloader() -> None:
        pixels = (objective.images * 255).round().to(torch.uint8).view(-1, 28, 28).cpu().numpy()
        pictures = PictureDataset(pixels, objective.labels.cpu().numpy())
        network = load_vector(build_network(architecture.name), start)
        gradient_descent = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
        for batch, labels in DataLoader(pictures, batch_size=BATCH_SIZE, shuffle=True):
            gradient_descent.zero_grad()
            mean_loss(network, batch.flatten(1).to(device), labels.to(device)).backward()
            gradient_descent.step()
        loss_over_loader(network, DataLoader(pictures, batch_size=REFERENCE_CHUNK))

    def with_indexing() -> None:
        minibatches = minibatch_order([0], 1, objective.count)[0].split(BATCH_SIZE)
        trained = run_sgd(
            architecture.name,
            start,
            objective.images,
            objective.labels,
            [minibatch.tolist() for minibatch in minibatches],
            LEARNING_RATE,
        )
        network = load_vector(build_network(architecture.name), trained)
        with torch.no_grad():
            for first in range(0, objective.count, REFERENCE_CHUNK):
                part = slice(first, first + REFERENCE_CHUNK)
                mean_loss(network, objective.images[part], objective.labels[part])

    share = objective.count / ALL_IMAGES
    return Work(
        SGD,
        architecture.name,
        {"DataLoader": with_dataloader, "indexing": with_indexing},
        {"engine": SEEDS[device.type] * share, "DataLoader": share, "indexing": share},
        ALL_IMAGES * 4.0 * FORWARD_OPERATIONS[architecture.name],
    )


def loss_and_gradient(
    name: str, objective: Objective, batch: int
) -> Callable[[Tensor], tuple[float, Tensor]]:
    """Mean loss and gradient [P] of one vector [P] by autograd of an ordinary module."""
    network = build_network(name)
    batches = list(zip(objective.images.split(batch), objective.labels.split(batch), strict=True))

    def evaluate(vector: Tensor) -> tuple[float, Tensor]:
        load_vector(network, vector)
        network.zero_grad(set_to_none=True)
        total = 0.0
        for images, labels in batches:
            loss = mean_loss(network, images, labels) * (len(images) / objective.count)
            loss.backward()
            total += loss.item()
        return total, flat_gradient(network)

    return evaluate


def _pixels(objective: Objective, points: int) -> float:
    """Pixels that a first layer meets, on average over the images."""
    chunks = objective.chunks(points)
    met = sum(len(chunk.pixels) * len(chunk.images) for chunk in chunks)
    return met / objective.count


def _path_operations(architecture: Architecture, pixels: float) -> float:
    """Per image: the first layer for 12 vectors, and for 10 backwards, mixing its output, the rest
    for every point between the ends."""
    forward, points = FORWARD_OPERATIONS[architecture.name], POINTS - 2
    if not isinstance(architecture, DenseInputArchitecture):
        return 3.0 * points * forward
    vectors, features = 2 * TERMS + 2, architecture.features  # forwards and backwards together
    rest = forward - 2.0 * architecture.input_size
    return 2.0 * vectors * features * (pixels + points) + 3.0 * points * rest


def _lbfgs_operations(architecture: Architecture, evaluations: float, pixels: float) -> float:
    """Per image: the losses of the line search, and a gradient."""
    forward = FORWARD_OPERATIONS[architecture.name]
    if not isinstance(architecture, DenseInputArchitecture):
        return (evaluations + 3.0) * forward
    rest = forward - 2.0 * architecture.input_size
    # The first layer for the direction and the new weights, and backwards.
    return 3.0 * 2.0 * architecture.features * pixels + (evaluations + 3.0) * rest
