"""Minibatch stochastic gradient descent, plain or with momentum."""

from typing import Any

import torch
from torch import Tensor

from topography.objective import Objective
from topography.optimizers._minibatch import MinibatchOptimizer
from topography.optimizers.base import State


class SGD(MinibatchOptimizer):
    """w <- w - learning_rate * gradient; with momentum, v <- momentum * v + gradient replaces it.

    The paper states 64 images per minibatch; learning rate 0.1, no momentum and 75 epochs were
    recovered by matching its Table 1 and Table S1 together.
    """

    def __init__(
        self,
        learning_rate: float,
        batch_size: int,
        epochs: int,
        momentum: float = 0.0,
        **others: Any,
    ) -> None:
        """0 <= momentum < 1; the others as for every `MinibatchOptimizer`."""
        super().__init__(learning_rate, batch_size, epochs, **others)
        if not 0 <= momentum < 1:
            raise ValueError("momentum must be from 0 to below 1")
        self.momentum = momentum

    def start(self, objective: Objective, params: Tensor) -> tuple[State, Tensor]:
        state = {"velocity": torch.zeros_like(params)} if self.momentum else {}
        return state, objective.losses(params)

    def take_step(
        self, params: Tensor, gradients: Tensor, state: State, learning_rate: float
    ) -> None:
        if self.momentum:
            gradients = state["velocity"].mul_(self.momentum).add_(gradients)
        params.sub_(gradients, alpha=learning_rate)


OPTIMIZER = SGD
