"""Training of many seeds side by side: loss curves, and weights at the minimum of each curve."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from topography.architectures.base import Architecture
from topography.checkpoint import Checkpoint
from topography.objective import Objective
from topography.optimizers.base import Optimizer, State
from topography.progress import Progress
from topography.randomness import generator

CURVES = ("train", "test")


@dataclass
class Training:
    """S trainings after some epoch.

    seeds: S integers. curves: losses [S, 2, epochs + 1] on train and test images after each epoch
    (0 = initial weights), float64, NaN where not reached. best_weights: [S, 2, P], at the minimum
    of the train curve and of the test curve (early stopping); NaN for failed seeds once finished.
    failures: reason by seed.
    """

    seeds: list[int]
    epoch: int
    params: Tensor
    state: State
    curves: Tensor
    best_weights: Tensor
    failures: dict[int, str]

    @property
    def best_epochs(self) -> Tensor:
        """Epochs [S, 2] of the minima of the two curves; -1 for a seed without any finite loss."""
        known = self.curves.nan_to_num(nan=torch.inf, posinf=torch.inf)
        return torch.where(known.isfinite().any(2), known.argmin(2), -1)

    @property
    def best_losses(self) -> Tensor:
        """Minima [S, 2] of the two curves, NaN for a seed without any finite loss."""
        minima = self.curves.nan_to_num(nan=torch.inf, posinf=torch.inf).amin(2)
        return torch.where(minima.isfinite(), minima, torch.nan)


def initial_params(architecture: Architecture, seeds: list[int]) -> Tensor:
    """Initial weights [S, P] of these seeds, whatever the optimizer."""
    return torch.stack(
        [architecture.initialise(generator(seed, "initialisation")) for seed in seeds]
    )


def train(
    train_objective: Objective,
    test_objective: Objective,
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train S networks from params [S, P] for the optimizer's number of epochs.

    A seed whose losses or weights become infinite or NaN is marked as failed with the reason; the
    others go on. With a checkpoint, an interrupted training of the same identity is resumed and
    ends as an unbroken one would.

    Raises:
        ValueError: the seeds are not as many as the networks, or one of them is there twice.
    """
    if len(seeds) != len(params) or len(set(seeds)) != len(seeds):
        raise ValueError(
            f"got the seeds {seeds} for {len(params)} networks; each needs a seed of its own"
        )
    params = params.detach()  # a vector of a module's parameters asks for gradients
    training = _resumed(checkpoint, seeds, params)
    if training is None:
        training = _started(train_objective, test_objective, optimizer, seeds, params)
    while training.epoch < optimizer.epochs and len(training.failures) < len(seeds):
        params, state, train_losses = optimizer.run_epoch(
            train_objective, training.params, training.state, seeds, training.epoch + 1
        )
        training.epoch += 1
        training.params, training.state = params, state
        _record(training, train_losses, test_objective.losses(params))
        if progress is not None:
            progress.update(training.epoch, _summary(training))
        if checkpoint is not None and training.epoch < optimizer.epochs:
            checkpoint.offer(lambda: _to_checkpoint(training))
    for row, seed in enumerate(seeds):
        if seed in training.failures:
            training.best_weights[row] = torch.nan
    return training


def _started(
    train_objective: Objective,
    test_objective: Objective,
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor,
) -> Training:
    state, train_losses = optimizer.start(train_objective, params)
    shape = (len(seeds), len(CURVES), optimizer.epochs + 1)
    training = Training(
        seeds=seeds,
        epoch=0,
        params=params,
        state=state,
        curves=torch.full(shape, torch.nan, dtype=torch.float64),
        best_weights=params.unsqueeze(1).repeat(1, len(CURVES), 1),
        failures={},
    )
    _record(training, train_losses, test_objective.losses(params))
    return training


def _record(training: Training, train_losses: Tensor, test_losses: Tensor) -> None:
    """Append the losses to the curves, keep the weights at new minima, mark seeds that diverged."""
    losses = torch.stack([train_losses, test_losses], dim=1)  # [S, 2]
    healthy = losses.isfinite().all(1) & training.params.isfinite().all(1)
    earlier = training.best_losses.nan_to_num(nan=torch.inf).to(losses.device)
    improved = (losses < earlier) & healthy[:, None]
    training.best_weights = torch.where(
        improved[..., None], training.params[:, None], training.best_weights
    )
    losses = losses.cpu()
    for row, seed in enumerate(training.seeds):
        if seed in training.failures:
            continue
        training.curves[row, :, training.epoch] = losses[row]
        if not healthy[row]:
            training.failures[seed] = (
                f"diverged at epoch {training.epoch}: train loss {losses[row, 0]:.3g}, "
                f"test loss {losses[row, 1]:.3g}, weights "
                f"{'finite' if training.params[row].isfinite().all() else 'not finite'}"
            )


def _summary(training: Training) -> str:
    """The mean losses of the seeds that have not failed."""
    rows = [row for row, seed in enumerate(training.seeds) if seed not in training.failures]
    means = training.curves[rows, :, training.epoch].mean(0)
    failed = f", {len(training.failures)} failed" if training.failures else ""
    return f"mean train loss {means[0]:.3e}, test loss {means[1]:.3e}{failed}"


def _to_checkpoint(training: Training) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    tensors = {
        "params": training.params,
        "curves": training.curves,
        "best_weights": training.best_weights,
        **{f"state.{name}": value for name, value in training.state.items()},
    }
    failures = {str(seed): reason for seed, reason in training.failures.items()}
    notes: dict[str, Any] = {"epoch": training.epoch, "failures": failures}
    return (
        {name: tensor.cpu().numpy() for name, tensor in tensors.items()},
        {"progress": json.dumps(notes)},
    )


def _resumed(checkpoint: Checkpoint | None, seeds: list[int], params: Tensor) -> Training | None:
    saved = None if checkpoint is None else checkpoint.load()
    if saved is None:
        return None
    tensors = {name: torch.from_numpy(array) for name, array in saved[0].items()}
    notes = json.loads(saved[1]["progress"])
    device = params.device
    return Training(
        seeds=seeds,
        epoch=notes["epoch"],
        params=tensors["params"].to(device),
        state={
            name.removeprefix("state."): tensor.to(device)
            for name, tensor in tensors.items()
            if name.startswith("state.")
        },
        curves=tensors["curves"],
        best_weights=tensors["best_weights"].to(device),
        failures={int(seed): reason for seed, reason in notes["failures"].items()},
    )
