"""Rates of the kinds of work that `topography.workflow.cost` counts, measured on this device.

Each measurement runs the real code on images of noise, at the shapes of the configuration: its
minibatches, networks per job, and points of a path. Images are few, so that all takes seconds.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from topography.architectures import get_architecture
from topography.architectures.base import PIXELS, Architecture
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import Optimizer
from topography.optimizers.lbfgs import LBFGS, search_directions
from topography.optimizers.sgd import SGD
from topography.paths import Adam, Paths, path_losses_and_gradients
from topography.precision import matrix_products, product_type
from topography.training import initial_params
from topography.workflow import cost
from topography.workflow.configuration import architecture_settings, for_architecture

# What to call, and the units of work that a call does.
Call = tuple[Callable[[], object], int]

CLASSES = 10
# Images of a measurement: a chunk of work on a CPU, and enough to fill a GPU.
IMAGES = {"cpu": 500, "cuda": 10_000}
# Rows and columns of a picture of 28 x 28 pixels that are not blank: as many as a chunk of MNIST's
# images has on a CPU, to which those of like margins come together. On a GPU all are one chunk.
INK = {"cpu": (slice(4, 24), slice(6, 23)), "cuda": (slice(0, 28), slice(0, 28))}
# Networks trained side by side and pairs of paths in a measurement, at most.
NETWORKS = {"cpu": 4, "cuda": 75}
PAIRS = {"cpu": 1, "cuda": 4}


def clock(device: torch.device) -> float:
    """Seconds spent so far: of this process's CPU time, or passed, once a GPU is done.

    CPU time, because others may be using the same machine.
    """
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure_rates(
    config: Mapping[str, Any], device: torch.device, seconds: float
) -> dict[str, dict[str, float]]:
    """Seconds per unit of work, by architecture and kind, in about `seconds` altogether."""
    calls = {name: calls_of(config, name, device) for name in config["architectures"]}
    share = seconds / sum(map(len, calls.values()))
    return {
        name: {
            kind: seconds_per_unit(call, units, device, share)
            for kind, (call, units) in kinds.items()
        }
        for name, kinds in calls.items()
    }


def seconds_per_unit(
    call: Callable[[], object], units: int, device: torch.device, seconds: float
) -> float:
    """The shortest of several calls, after one to warm up, divided by the units each does."""
    start = clock(device)
    call()
    shortest = float("inf")
    while True:
        before = clock(device)
        call()
        after = clock(device)
        shortest = min(shortest, after - before)
        if after - start + shortest > seconds:
            return shortest / units


def calls_of(config: Mapping[str, Any], name: str, device: torch.device) -> dict[str, Call]:
    """What to call to measure each kind of work of an architecture, and the units a call does."""
    settings = for_architecture(config, name)
    architecture = get_architecture(name, **architecture_settings(config, name))
    training = settings["training"]
    largest = min(training["seeds"], training["seeds_per_job"])
    seeds = list(range(min(largest, NETWORKS[device.type])))
    params = initial_params(architecture, seeds).to(device)
    available = settings["images"]["train"]
    objective = _objective(architecture, min(available, IMAGES[device.type]), device)
    networks, images = len(seeds), objective.count

    calls: dict[str, Call] = {
        cost.LOSS: (lambda: objective.losses(params), networks * images),
        cost.GRADIENT: (lambda: objective.losses_and_gradients(params), networks * images),
    }
    for optimizer, values in settings["optimizers"].items():
        method = get_optimizer(optimizer, **values)
        if isinstance(method, SGD):
            calls[cost.SGD_STEP] = _sgd_step(objective, params, method)
        elif isinstance(method, LBFGS):
            calls[cost.LINE_LOSS] = _line_losses(objective, params, method)
            calls[cost.DIRECTION] = _direction(params, method)
        else:
            calls[cost.epoch_of(optimizer)] = _epoch(objective, params, method, seeds)

    paths = settings["paths"]
    pairs = min(settings["pairs"]["count"], PAIRS[device.type])
    ends = initial_params(architecture, list(range(2 * pairs))).to(device)
    per_step = _first_images(objective, paths["images_per_step"])
    calls[cost.PATH_GRADIENT] = _path_step(per_step, ends, paths)
    converged = settings["converged"]
    terms = sum(converged["terms"]) // len(converged["terms"])
    per_step = _first_images(objective, converged["images_per_step"])
    later = {**paths, "points": converged["points"], "terms": terms}
    calls[cost.SEARCH_GRADIENT] = _path_step(per_step, ends, later)
    calls[cost.PATH_LOSS] = _path_losses(objective, ends, paths)
    return calls


def _objective(architecture: Architecture, images: int, device: torch.device) -> Objective:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(images, architecture.image_size, generator=generator)
    if architecture.image_size == PIXELS:
        ink = torch.zeros(28, 28)
        ink[INK[device.type]] = 1.0
        pixels *= ink.flatten()
    labels = torch.randint(CLASSES, (images,), generator=generator)
    return Objective(architecture, pixels.to(device), labels.to(device))


def _first_images(objective: Objective, count: int | None) -> Objective:
    """The objective over its first images, all for None."""
    return Objective(objective.architecture, objective.images[:count], objective.labels[:count])


def _sgd_step(objective: Objective, params: Tensor, method: SGD) -> Call:
    """Several steps, since one is too short to measure."""
    steps, size = 10, min(method.batch_size, objective.count)
    indices = torch.arange(size, device=params.device).expand(len(params), size)

    def call() -> None:
        values = params.clone()
        for _ in range(steps):
            _, gradients = objective.minibatch_losses_and_gradients(values, indices)
            values.sub_(gradients, alpha=method.learning_rate)

    return call, len(params) * steps * size


def _line_losses(objective: Objective, params: Tensor, method: LBFGS) -> Call:
    """The losses of a line search that spends its budget."""
    trials = method.line_search_budget
    here = objective.combination(params.unsqueeze(1), reuse=True)
    mixing = params.new_tensor([[1.0, 0.1]]).expand(len(params), 1, 2)

    def call() -> None:
        line = here.extended(params.unsqueeze(1))
        for _ in range(trials):
            line.losses(mixing)

    return call, len(params) * trials * objective.count


def _direction(params: Tensor, method: LBFGS) -> Call:
    """A direction from full histories, and the histories of the next iteration."""
    history = params.unsqueeze(1).repeat(1, method.history_size, 1)
    filled = torch.full((len(params),), method.history_size, device=params.device)

    def call() -> None:
        search_directions(params, history, history, filled, method.curvature_damping)
        for _ in range(2):
            torch.cat([history[:, 1:], params[:, None]], dim=1)

    return call, len(params)


def _epoch(objective: Objective, params: Tensor, method: Optimizer, seeds: list[int]) -> Call:
    state, _ = method.start(objective, params)

    def call() -> None:
        method.run_epoch(objective, params, state, seeds, 1)

    return call, len(seeds) * objective.count


def _path_step(objective: Objective, ends: Tensor, settings: Mapping[str, Any]) -> Call:
    starts, ends = ends.chunk(2)
    points, penalty = settings["points"], settings["penalty"]
    shape = (len(starts), settings["terms"], starts.shape[1])
    adam = Adam(starts.new_zeros(shape), settings["learning_rate"])
    products = product_type(settings["precision"], ends.device)

    def call() -> None:
        with matrix_products(products):
            _, gradients = path_losses_and_gradients(
                objective, starts, ends, adam.values, points, penalty
            )
            adam.step(gradients)

    return call, len(starts) * (points - 2) * objective.count


def _path_losses(objective: Objective, ends: Tensor, settings: Mapping[str, Any]) -> Call:
    starts, ends = ends.chunk(2)
    coefficients = starts.new_zeros(len(starts), settings["terms"], starts.shape[1])
    paths = Paths(starts, ends, coefficients, coefficients[..., 0])

    def call() -> Tensor:
        return paths.losses(objective, settings["points"])

    return call, len(starts) * settings["points"] * objective.count
