"""Full-batch L-BFGS with golden-section line search: L-BFGS-GSS (paper, Algorithm 1)."""

import torch
from torch import Tensor

from topography.landscape import LinearCombinations
from topography.line_search import line_search
from topography.modules import are_counts
from topography.objective import Objective
from topography.optimizers.base import Optimizer, State, Step

SMALLEST_CURVATURE_COSINE = 1e-4


class LBFGS(Optimizer):
    """L-BFGS on all images; every seed has its own history, resets and line search."""

    def __init__(
        self,
        iterations: int,
        history_size: int = 10,
        line_search_budget: int = 6,
        line_search_tolerance: float = 1e-4,
        monotone: bool = False,
        curvature_damping: float = 1e-6,
    ) -> None:
        """iterations: steps taken; history_size: pairs (s, y) kept; curvature_damping: added to s.y
        where it divides; the others as in `line_search`.
        """
        if not are_counts(iterations, history_size, line_search_budget):
            raise ValueError(
                "iterations, history_size and line_search_budget must be whole numbers, at least 1"
            )
        if not (line_search_tolerance > 0 and curvature_damping >= 0):
            raise ValueError("line_search_tolerance must be positive, curvature_damping at least 0")
        self.epochs = iterations
        self.history_size = history_size
        self.line_search_budget = line_search_budget
        self.line_search_tolerance = line_search_tolerance
        self.monotone = monotone
        self.curvature_damping = curvature_damping
        # Where the last gradient was taken, with what depends on the images alone there.
        self._here: tuple[Tensor, LinearCombinations] | None = None

    def start(self, objective: Objective, params: Tensor) -> tuple[State, Tensor]:
        losses, gradients = self._arrive(objective, params)
        history = params.new_zeros(len(params), self.history_size, params.shape[1])
        state = {
            "losses": losses,
            "gradients": gradients,
            "steps": history,  # s_k = w_{k+1} - w_k, newest last
            "gradient_changes": history.clone(),  # y_k
            "pairs": torch.zeros(
                len(params), dtype=torch.int64, device=params.device
            ),  # filled rows
        }
        return state, losses

    def run_epoch(
        self, objective: Objective, params: Tensor, state: State, seeds: list[int], epoch: int
    ) -> tuple[Tensor, State, Tensor]:
        directions, pairs = search_directions(
            state["gradients"],
            state["steps"],
            state["gradient_changes"],
            state["pairs"],
            self.curvature_damping,
        )
        line = self._combination(objective, params).extended(directions.unsqueeze(1))
        search = line_search(
            lambda trials, rows: line.losses(_along(trials, params), rows).squeeze(1),
            state["losses"],
            directions.norm(dim=1).double(),
            self.line_search_budget,
            self.line_search_tolerance,
            self.monotone,
        )
        new_params = torch.bmm(_along(search.steps, params), line.vectors).squeeze(1)
        if self.observer is not None:
            self.observer(
                Step(
                    params=params,
                    losses=state["losses"],
                    gradients=state["gradients"],
                    updates=new_params - params,
                    learning_rates=search.steps,
                )
            )
        losses, gradients = self._arrive(objective, new_params)
        new_state = {
            "losses": losses,
            "gradients": gradients,
            "steps": _append(state["steps"], new_params - params),
            "gradient_changes": _append(state["gradient_changes"], gradients - state["gradients"]),
            "pairs": (pairs + 1).clamp(max=self.history_size),
        }
        return new_params, new_state, losses

    def _arrive(self, objective: Objective, params: Tensor) -> tuple[Tensor, Tensor]:
        """Losses [S] and gradients [S, P] at params [S, P], from where the next line starts."""
        self._here = None  # its memory first
        here = objective.combination(params.unsqueeze(1), reuse=True)
        losses, gradients = here.losses_and_gradients(params.new_ones(1, 1))
        self._here = (objective, params, here)
        return losses.squeeze(1), gradients.squeeze(1)

    def _combination(self, objective: Objective, params: Tensor) -> LinearCombinations:
        """The params as a combination of themselves: that of the last gradient, unless a training
        begins here or goes on from a checkpoint."""
        if self._here is not None:
            there, at, here = self._here
            if there is objective and at is params:
                return here
        return objective.combination(params.unsqueeze(1), reuse=True)


def search_directions(
    gradients: Tensor,
    steps: Tensor,
    gradient_changes: Tensor,
    pairs: Tensor,
    curvature_damping: float,
) -> tuple[Tensor, Tensor]:
    """Directions p = H^-1 g [S, P] by the two-loop recursion, and the pairs [S] left after resets.

    Where a stored pair has s.y / (|s| |y|) < 1e-4 (or no length), or the direction is not finite,
    that seed's history is dropped and its direction is the gradient.

    Args:
        gradients: [S, P].
        steps, gradient_changes: histories [S, m, P], newest last.
        pairs: how many of the m rows are filled, [S].
        curvature_damping: added to s.y where it divides. The paper's code has 1e-6, which makes
            pairs fade as s.y falls below it, near convergence; 0 is the textbook's recursion.
    """
    capacity = steps.shape[1]
    filled = torch.arange(capacity, device=pairs.device) >= capacity - pairs[:, None]  # [S, m]
    products = _dot(steps, gradient_changes)
    norms = steps.norm(dim=2) * gradient_changes.norm(dim=2)
    curved = (products >= SMALLEST_CURVATURE_COSINE * norms) & (norms > 0)
    kept = ~(filled & ~curved).any(dim=1)
    used = filled & kept[:, None]
    inverse = torch.where(used, 1.0 / (products + curvature_damping), 0.0)
    newest_change = gradient_changes[:, -1]
    scaling = torch.where(used[:, -1], products[:, -1] / _dot(newest_change, newest_change), 1.0)
    directions = _two_loop(gradients, steps, gradient_changes, inverse, scaling)
    kept &= directions.isfinite().all(dim=1)
    return torch.where(kept[:, None], directions, gradients), torch.where(kept, pairs, 0)


def _two_loop(
    gradients: Tensor,
    steps: Tensor,
    gradient_changes: Tensor,
    inverse_products: Tensor,
    scaling: Tensor,
) -> Tensor:
    """The L-BFGS two-loop recursion.

    inverse_products: 1 / s.y of every pair, [S, m]; 0 makes a pair take no part.
    scaling: initial inverse Hessian, [S]: s.y / y.y of the newest pair.
    """
    directions = gradients.clone()
    weights = []
    for newest_first in range(steps.shape[1] - 1, -1, -1):
        weight = inverse_products[:, newest_first] * _dot(steps[:, newest_first], directions)
        directions -= weight[:, None] * gradient_changes[:, newest_first]
        weights.append(weight)
    directions *= scaling[:, None]
    for oldest_first in range(steps.shape[1]):
        weight = weights.pop()
        projection = _dot(gradient_changes[:, oldest_first], directions)
        correction = inverse_products[:, oldest_first] * projection
        directions += (weight - correction)[:, None] * steps[:, oldest_first]
    return directions


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner products over the last dimension."""
    return (first * second).sum(-1)


def _along(steps: Tensor, like: Tensor) -> Tensor:
    """Mixtures [A, 1, 2] of (parameters, direction) that stand for w - step * p."""
    steps = steps.to(like.dtype)
    return torch.stack([torch.ones_like(steps), -steps], dim=1).unsqueeze(1)


def _append(history: Tensor, newest: Tensor) -> Tensor:
    """The history [S, m, P] with its oldest row dropped and the newest [S, P] last."""
    return torch.cat([history[:, 1:], newest[:, None]], dim=1)


OPTIMIZER = LBFGS
