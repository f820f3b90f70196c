"""What every optimizer offers to the training loop."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from topography.objective import Objective
from topography.randomness import generator

# All that an optimizer carries from one epoch to the next, as tensors whose first dimension is the
# seeds; saved with every checkpoint, so that a resumed training ends where an unbroken one ends.
State = dict[str, Tensor]


class Step(NamedTuple):
    """One step of S trainings, as an observer sees it.

    params: [S, P], before the step. losses: [S], of the images that the step looked at. gradients:
    [S, P], of these losses, before weight decay and clipping. updates: [S, P], new params minus
    params. learning_rates: [S], in force at this step; for a line search the
    multiple of the direction. weight_decay: this times the params was added to the gradients.
    """

    params: Tensor
    losses: Tensor
    gradients: Tensor
    updates: Tensor
    learning_rates: Tensor
    weight_decay: float = 0.0


# Called once for every step; must change nothing.
Observer = Callable[[Step], None]


class Optimizer(ABC):
    """Trains S networks side by side; none influences another."""

    epochs: int  # length of a training; for a full-batch method an epoch is an iteration
    observer: Observer | None = None  # told of every step, without any effect on the training

    @abstractmethod
    def start(self, objective: Objective, params: Tensor) -> tuple[State, Tensor]:
        """State before the first epoch and train losses [S] of the initial params [S, P]."""

    @abstractmethod
    def run_epoch(
        self, objective: Objective, params: Tensor, state: State, seeds: list[int], epoch: int
    ) -> tuple[Tensor, State, Tensor]:
        """One epoch, counted from 1: new params [S, P], new state, train losses [S] of these."""


def minibatch_order(seeds: list[int], epoch: int, count: int) -> Tensor:
    """Order of the images for every seed, [S, count]; depends on seed and epoch alone."""
    return torch.stack(
        [
            torch.randperm(count, generator=generator(seed, f"minibatches/epoch {epoch}"))
            for seed in seeds
        ]
    )
