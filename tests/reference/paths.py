"""FourierPathFinder for one pair (spec section 4, Algorithm 2): a loop over the points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Landscape = Callable[[Tensor], Tensor]


@dataclass
class ReferencePath:
    """Coefficients [N, P] kept, losses [M] along that path, summed losses [steps] before updates.

    `all_coefficients` [steps + 1, N, P] are those before the first step and after each one.
    """

    coefficients: Tensor
    losses: Tensor
    step_losses: Tensor
    all_coefficients: Tensor

    @property
    def height(self) -> float:
        """Largest loss along the path (Eq. 5)."""
        return self.losses.max().item()


def wave(n: int, t: float) -> float:
    """Return sin(n pi t): exactly 0 at both ends, where floating point gives 1e-16 for t = 1."""
    return 0.0 if t in (0.0, 1.0) else math.sin(n * math.pi * t)


def point_on_path(t: float, start: Tensor, end: Tensor, coefficients: Tensor) -> Tensor:
    """Return w(t) [P] (Eq. 3) for coefficients [N, P]."""
    point = t * start + (1 - t) * end
    for n, coefficient in enumerate(coefficients, start=1):
        point = point + coefficient * wave(n, t)
    return point


def penalty_by_formula(points: list[Tensor], weight: float) -> Tensor:
    """Return lambda sum_m |w(t_{m+1}) - w(t_m)|^2, the second term of Eq. 4."""
    total = torch.zeros((), dtype=points[0].dtype)
    for here, there in pairwise(points):
        total = total + (there - here).square().sum()
    return weight * total


def path_loss(
    landscape: Landscape,
    start: Tensor,
    end: Tensor,
    coefficients: Tensor,
    ts: list[float],
    penalty: float,
) -> tuple[Tensor, Tensor]:
    """Return Eq. 4 (scalar, with a gradient) and the losses [M] of the points."""
    points = [point_on_path(t, start, end, coefficients) for t in ts]
    losses = torch.stack([landscape(point) for point in points])
    return losses.sum() + penalty_by_formula(points, penalty), losses


def find_reference_path(
    landscape: Landscape,
    start: Tensor,
    end: Tensor,
    terms: int = 10,
    points: int = 51,
    penalty: float = 1e-4,
    steps: int = 100,
    learning_rate: float = 1e-3,
    keep: str = "lowest",
) -> ReferencePath:
    """Find a path between two points [P] with torch.optim.Adam on the Fourier coefficients.

    keep="last": the path after the last step. keep="lowest": the path with the lowest sum of the
    losses (without the penalty) among those evaluated before each step. keep="mean": the mean over
    the steps n with weights n (n + 1) ... (n + 7).
    """
    ts = [m / (points - 1) for m in range(points)]
    coefficients = torch.zeros(terms, len(start), dtype=start.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([coefficients], lr=learning_rate)
    history = [coefficients.detach().clone()]
    step_losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        objective, losses = path_loss(landscape, start, end, coefficients, ts, penalty)
        objective.backward()
        step_losses.append(losses.detach().sum())
        optimizer.step()
        history.append(coefficients.detach().clone())
    summed = torch.stack(step_losses)
    if keep == "mean":
        weights = summed.new_tensor([math.perm(n + 7, 8) for n in range(1, steps + 1)])
        kept = torch.einsum("s,snp->np", weights / weights.sum(), torch.stack(history[1:]))
    else:
        kept = history[int(summed.argmin()) if keep == "lowest" else -1]
    with torch.no_grad():
        _, losses = path_loss(landscape, start, end, kept, ts, penalty)
    return ReferencePath(kept, losses, summed, torch.stack(history))


# Two-dimensional example of Fig. 3 -------------------------------------------------------------

WELLS = ((-0.5, -0.5), (0.5, 0.0))
BUMPS = ((-0.2, -0.4), (0.0, 0.3))
OFFSET = 1.0190055296306975
FIRST_MINIMUM = (-0.62, -0.54)
SECOND_MINIMUM = (0.49, -0.02)


def figure_3_function(point: Tensor) -> Tensor:
    """Return f(x, y) of Fig. 3 at points [..., 2]."""
    value = torch.full(point.shape[:-1], OFFSET, dtype=point.dtype)
    for well in WELLS:
        distance = (point - torch.tensor(well, dtype=point.dtype)).square().sum(-1)
        value = value - torch.exp(-3 * distance)
    for bump in BUMPS:
        distance = (point - torch.tensor(bump, dtype=point.dtype)).square().sum(-1)
        value = value + torch.exp(-15 * distance)
    return value
