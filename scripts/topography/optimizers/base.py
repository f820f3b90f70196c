"""What every optimizer offers to the training loop."""

from abc import ABC, abstractmethod

from torch import Tensor

from topography.objective import Objective

# All that an optimizer carries from one epoch to the next, as tensors whose first dimension is the
# seeds; saved with every checkpoint, so that a resumed training ends where an unbroken one ends.
State = dict[str, Tensor]


class Optimizer(ABC):
    """Trains S networks side by side; none influences another."""

    epochs: int  # length of a training; for a full-batch method an epoch is an iteration

    @abstractmethod
    def start(self, objective: Objective, params: Tensor) -> tuple[State, Tensor]:
        """State before the first epoch and train losses [S] of the initial params [S, P]."""

    @abstractmethod
    def run_epoch(
        self, objective: Objective, params: Tensor, state: State, seeds: list[int], epoch: int
    ) -> tuple[Tensor, State, Tensor]:
        """One epoch, counted from 1: new params [S, P], new state, train losses [S] of these."""
