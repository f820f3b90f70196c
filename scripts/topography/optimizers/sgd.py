"""Plain minibatch stochastic gradient descent."""

import torch
from torch import Tensor

from topography.objective import Objective
from topography.optimizers.base import Optimizer, State
from topography.randomness import generator


class SGD(Optimizer):
    """w <- w - learning_rate * gradient on a minibatch; each seed has an order of its own.

    The paper states 64 images per minibatch; learning rate 0.1, no momentum and 75 epochs were
    recovered by matching its Table 1 and Table S1 together.
    """

    def __init__(self, learning_rate: float, batch_size: int, epochs: int) -> None:
        """learning_rate > 0; batch_size: images per step; epochs: passes over the images."""
        if learning_rate <= 0 or batch_size < 1 or epochs < 1:
            raise ValueError("learning_rate must be positive, batch_size and epochs at least 1")
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs

    def start(self, objective: Objective, params: Tensor) -> tuple[State, Tensor]:
        return {}, objective.losses(params)

    def run_epoch(
        self, objective: Objective, params: Tensor, state: State, seeds: list[int], epoch: int
    ) -> tuple[Tensor, State, Tensor]:
        order = minibatch_order(seeds, epoch, objective.count).to(params.device)
        params = params.clone()
        for first in range(0, objective.count, self.batch_size):
            indices = order[:, first : first + self.batch_size]
            _, gradients = objective.minibatch_losses_and_gradients(params, indices)
            params.sub_(gradients, alpha=self.learning_rate)
        return params, state, objective.losses(params)


def minibatch_order(seeds: list[int], epoch: int, count: int) -> Tensor:
    """Order of the images for every seed, [S, count]; depends on seed and epoch alone."""
    return torch.stack(
        [
            torch.randperm(count, generator=generator(seed, f"minibatches/epoch {epoch}"))
            for seed in seeds
        ]
    )


OPTIMIZER = SGD
