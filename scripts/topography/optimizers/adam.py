"""Adam (Kingma and Ba 2015) on minibatches."""

from typing import Any

import torch
from torch import Tensor

from topography.objective import Objective
from topography.optimizers._minibatch import MinibatchOptimizer
from topography.optimizers.base import State


class Adam(MinibatchOptimizer):
    """Steps along running means of the gradient, divided by those of its square's root."""

    def __init__(
        self,
        learning_rate: float,
        batch_size: int,
        epochs: int,
        decays: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        **others: Any,
    ) -> None:
        """decays: of the means of gradient and square, from 0 to below 1; epsilon > 0, added to
        the root; the others as for every `MinibatchOptimizer`.
        """
        super().__init__(learning_rate, batch_size, epochs, **others)
        if len(decays) != 2 or not all(0 <= decay < 1 for decay in decays) or not epsilon > 0:
            raise ValueError("decays must be two numbers from 0 to below 1, epsilon positive")
        self.decays = decays
        self.epsilon = epsilon

    def start(self, objective: Objective, params: Tensor) -> tuple[State, Tensor]:
        state = {
            "means": torch.zeros_like(params),
            "squares": torch.zeros_like(params),
            "steps": torch.zeros(len(params), dtype=torch.int64, device=params.device),
        }
        return state, objective.losses(params)

    def take_step(
        self, params: Tensor, gradients: Tensor, state: State, learning_rate: float
    ) -> None:
        first, second = self.decays
        state["means"].lerp_(gradients, 1.0 - first)
        state["squares"].mul_(second).addcmul_(gradients, gradients, value=1.0 - second)
        state["steps"] += 1
        steps = state["steps"].double()
        # Means begin at 0; without this correction the first steps would be too long.
        scale = (learning_rate / (1.0 - first**steps))[:, None].to(params.dtype)
        correction = (1.0 - second**steps).sqrt()[:, None].to(params.dtype)
        roots = state["squares"].sqrt().div_(correction).add_(self.epsilon)
        params.sub_(scale * state["means"] / roots)


OPTIMIZER = Adam
