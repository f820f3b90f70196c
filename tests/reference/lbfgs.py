"""L-BFGS with a golden-section line search on one function (spec section 3, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reference.line_search import search_line

SMALLEST_COSINE = 1e-4

LossAndGradient = Callable[[Tensor], tuple[float, Tensor]]


@dataclass
class Run:
    """What one run did: the point and loss after each iteration, the steps, the resets."""

    points: list[Tensor] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)


def two_loop_direction(
    gradient: Tensor, s_list: list[Tensor], y_list: list[Tensor], damping: float = 1e-6
) -> Tensor:
    """Return H grad by the two-loop recursion, with s.y / y.y of the newest pair as first H.

    damping is added to s.y where it divides, as in the authors' code.
    """
    direction = gradient.clone()
    alphas = []
    for s, y in zip(reversed(s_list), reversed(y_list), strict=True):
        alpha = torch.dot(s, direction) / (torch.dot(s, y) + damping)
        direction = direction - alpha * y
        alphas.append(alpha)
    if s_list:
        direction = direction * torch.dot(s_list[-1], y_list[-1]) / y_list[-1].dot(y_list[-1])
    for s, y, alpha in zip(s_list, y_list, reversed(alphas), strict=True):
        beta = torch.dot(y, direction) / (torch.dot(s, y) + damping)
        direction = direction + (alpha - beta) * s
    return direction


def history_is_usable(s_list: list[Tensor], y_list: list[Tensor]) -> bool:
    """Whether every stored pair has s.y / (|s||y|) of at least 1e-4."""
    for s, y in zip(s_list, y_list, strict=True):
        cosine = torch.dot(s, y) / (s.norm() * y.norm())
        if not cosine >= SMALLEST_COSINE:
            return False
    return True


def run_lbfgs(
    function: LossAndGradient,
    start: Tensor,
    iterations: int,
    history_size: int = 10,
    budget: int = 6,
    tolerance: float = 1e-4,
    monotone: bool = False,
    damping: float = 1e-6,
) -> Run:
    """Minimise `function` (point [P] -> loss, gradient [P]) from `start` [P]."""
    run = Run()
    s_list: list[Tensor] = []
    y_list: list[Tensor] = []
    point = start.clone()
    loss, gradient = function(point)
    for iteration in range(iterations):
        direction = two_loop_direction(gradient, s_list, y_list, damping)
        if not (history_is_usable(s_list, y_list) and torch.isfinite(direction).all()):
            s_list, y_list = [], []
            direction = gradient.clone()
            run.resets.append(iteration)

        def along_line(step: float, point: Tensor = point, direction: Tensor = direction) -> float:
            return function(point - step * direction)[0]

        step, _, evaluations = search_line(
            along_line, loss, direction.norm().item(), budget, tolerance, monotone
        )
        new_point = point - step * direction
        loss, new_gradient = function(new_point)
        s_list = [*s_list, new_point - point][-history_size:]
        y_list = [*y_list, new_gradient - gradient][-history_size:]
        point, gradient = new_point, new_gradient
        run.points.append(point)
        run.losses.append(loss)
        run.steps.append(step)
        run.evaluations.append(evaluations)
    return run
