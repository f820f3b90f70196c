"""What optimizers on minibatches have in common: loop, learning rate and regularisation."""

import math
from abc import abstractmethod

from torch import Tensor

from topography.modules import are_counts
from topography.objective import Objective
from topography.optimizers.base import Optimizer, State, Step, minibatch_order


class MinibatchOptimizer(Optimizer):
    """Passes over the images in minibatches; each seed has an order of its own."""

    def __init__(
        self,
        learning_rate: float,
        batch_size: int,
        epochs: int,
        warmup_epochs: float = 0.0,
        cosine_annealing: bool = False,
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
    ) -> None:
        """learning_rate > 0, the highest; batch_size: images per step; epochs: passes over the
        images; warmup_epochs: in which the rate rises linearly from 0; cosine_annealing: whether
        it falls to 0 as half a cosine after that; gradient_clip: longest gradient, longer ones
        are shortened to it; weight_decay: this times the params is then added to the gradient.
        """
        if not are_counts(batch_size, epochs):
            raise ValueError("batch_size and epochs must be whole numbers of at least 1")
        if not learning_rate > 0:
            raise ValueError("learning_rate must be positive")
        if not 0 <= warmup_epochs < epochs:
            raise ValueError("warmup_epochs must be from 0 to below epochs")
        if not (weight_decay >= 0 and (gradient_clip is None or gradient_clip > 0)):
            raise ValueError("weight_decay must be at least 0, gradient_clip positive or none")
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.cosine_annealing = cosine_annealing
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip

    @abstractmethod
    def take_step(
        self, params: Tensor, gradients: Tensor, state: State, learning_rate: float
    ) -> None:
        """Change params [S, P] and the state in place; the gradients [S, P] stay as they are."""

    def run_epoch(
        self, objective: Objective, params: Tensor, state: State, seeds: list[int], epoch: int
    ) -> tuple[Tensor, State, Tensor]:
        order = minibatch_order(seeds, epoch, objective.count).to(params.device)
        params = params.clone()
        state = {name: tensor.clone() for name, tensor in state.items()}
        for first in range(0, objective.count, self.batch_size):
            indices = order[:, first : first + self.batch_size]
            losses, gradients = objective.minibatch_losses_and_gradients(params, indices)
            regularised = self._clipped(gradients)
            if self.weight_decay:
                regularised = regularised.add(params, alpha=self.weight_decay)
            learning_rate = self.learning_rate_at(epoch - 1 + first / objective.count)
            before = params.clone() if self.observer is not None else params
            self.take_step(params, regularised, state, learning_rate)
            if self.observer is not None:
                rates = losses.new_full(losses.shape, learning_rate)
                updates = params - before
                self.observer(Step(before, losses, gradients, updates, rates, self.weight_decay))
        return params, state, objective.losses(params)

    def learning_rate_at(self, time: float) -> float:
        """Learning rate of the step that begins after this many epochs."""
        if time < self.warmup_epochs:
            return self.learning_rate * time / self.warmup_epochs
        if not self.cosine_annealing:
            return self.learning_rate
        passed = (time - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * passed))

    def _clipped(self, gradients: Tensor) -> Tensor:
        if self.gradient_clip is None:
            return gradients
        norms = gradients.norm(dim=1, keepdim=True)
        return gradients * (self.gradient_clip / norms).clamp(max=1.0)
