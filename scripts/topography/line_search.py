"""Bracketing and golden-section line search, many independent searches side by side.

Each search has its own bracket, budget and end; a round evaluates one trial of every search still
active. The loss along the line is only ever evaluated, never differentiated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

GOLDEN_FRACTION = (3.0 - 5.0**0.5) / 2.0  # 0.381966
FIRST_STEP = 0.2
SMALLEST_STEP = 1e-12  # where a monotone search gives up

# evaluate(steps [A], rows [A]) -> losses [A]: the loss of search rows[a] at its step steps[a]
Evaluate = Callable[[Tensor, Tensor], Tensor]


@dataclass
class LineSearchResult:
    """Best step [B] found by every search, and its loss [B]."""

    steps: Tensor
    losses: Tensor


@dataclass
class _Searches:
    """State of B searches: brackets lower < middle < upper, their losses, the best trials."""

    evaluate: Evaluate
    budget: int
    lower: Tensor
    lower_losses: Tensor
    middle: Tensor
    middle_losses: Tensor
    upper: Tensor
    upper_losses: Tensor
    best: Tensor
    best_losses: Tensor
    evaluations: Tensor

    def affordable(self, candidates: Tensor) -> Tensor:
        """Rows [A] of the candidates [B] (bool) that have budget left."""
        return (candidates & (self.evaluations < self.budget)).nonzero().squeeze(1)

    def try_steps(self, steps: Tensor, rows: Tensor) -> Tensor:
        """Losses [A] at these steps [A] of these searches; the best trial is kept up to date."""
        losses = self.evaluate(steps, rows).to(self.best_losses.dtype)
        losses = torch.where(losses.isfinite(), losses, torch.inf)
        self.evaluations[rows] += 1
        better = losses < self.best_losses[rows]
        self.best[rows] = torch.where(better, steps, self.best[rows])
        self.best_losses[rows] = torch.where(better, losses, self.best_losses[rows])
        return losses


def line_search(
    evaluate: Evaluate,
    initial_losses: Tensor,
    direction_norms: Tensor,
    budget: int = 6,
    tolerance: float = 1e-4,
    monotone: bool = False,
) -> LineSearchResult:
    """Step along a descent direction by bracketing and golden sections (paper, Sec. II.2).

    The first trial is 0.2. If it lowers the loss, steps grow (0.8, 1.6, 3.2, ...) until the loss
    rises; if not, they shrink by the golden fraction until one lies below the start. What is left
    of the budget goes to golden sections inside the bracket.

    Args:
        evaluate: loss of search `rows[a]` at step `steps[a]`.
        initial_losses: losses at step 0, [B].
        direction_norms: Euclidean norms of the directions, [B]; they turn steps into lengths.
        budget: evaluations per search, at least 1.
        tolerance: a bracket ends its search when it is shorter than this, or when the losses at
            its ends differ by less.
        monotone: shrink a step until it lowers the loss, whatever budget and tolerance say, and
            return step 0 where none does. The paper's method has no such rule.

    Raises:
        ValueError: the budget is below 1.
    """
    if budget < 1:
        raise ValueError(f"a line search needs a budget of at least 1 evaluation, not {budget}")
    zeros = torch.zeros_like(initial_losses)
    searches = _Searches(
        evaluate=evaluate,
        budget=budget,
        lower=zeros.clone(),
        lower_losses=initial_losses.clone(),
        middle=zeros.clone(),
        middle_losses=initial_losses.clone(),
        upper=torch.full_like(zeros, FIRST_STEP),
        upper_losses=torch.full_like(zeros, torch.inf),
        best=torch.full_like(zeros, FIRST_STEP),
        best_losses=torch.full_like(zeros, torch.inf),
        evaluations=torch.zeros_like(zeros, dtype=torch.int64),
    )
    everyone = torch.arange(len(zeros), device=zeros.device)
    searches.upper_losses = searches.try_steps(searches.upper, everyone)
    falls = searches.upper_losses < initial_losses
    bracketed = _expand(searches, falls)
    bracketed |= _shrink(searches, ~falls, direction_norms, tolerance, monotone)
    _golden_sections(searches, bracketed, direction_norms, tolerance)
    result = LineSearchResult(searches.best, searches.best_losses)
    if monotone:
        lower = result.losses < initial_losses
        result.steps = torch.where(lower, result.steps, 0.0)
        result.losses = torch.where(lower, result.losses, initial_losses)
    return result


def _expand(searches: _Searches, falls: Tensor) -> Tensor:
    """Grow the step while the loss falls; returns which searches found a bracket [B]."""
    searches.middle = torch.where(falls, searches.upper, searches.middle)
    searches.middle_losses = torch.where(falls, searches.upper_losses, searches.middle_losses)
    active = falls.clone()
    bracketed = torch.zeros_like(falls)
    doublings = 2  # the second trial is 0.8: 0.4 is left out
    while len(rows := searches.affordable(active)) > 0:
        steps = torch.full_like(searches.upper[rows], FIRST_STEP * 2.0**doublings)
        losses = searches.try_steps(steps, rows)
        rises = losses >= searches.middle_losses[rows]
        risen, fallen = rows[rises], rows[~rises]
        searches.upper[risen], searches.upper_losses[risen] = steps[rises], losses[rises]
        bracketed[risen] = True
        active[risen] = False
        searches.lower[fallen] = searches.middle[fallen]
        searches.lower_losses[fallen] = searches.middle_losses[fallen]
        searches.middle[fallen], searches.middle_losses[fallen] = steps[~rises], losses[~rises]
        doublings += 1
    return bracketed


def _shrink(
    searches: _Searches, rises: Tensor, direction_norms: Tensor, tolerance: float, monotone: bool
) -> Tensor:
    """Shrink the step until the loss is below the start; returns which found a bracket [B]."""
    active = rises.clone()
    bracketed = torch.zeros_like(rises)
    while True:
        if monotone:
            # A network that stays where it is has the same line before it next time. Were this to
            # end within tolerance or budget, it would stay for good.
            active &= (searches.upper > SMALLEST_STEP) & ~searches.lower_losses.isnan()
            rows = active.nonzero().squeeze(1)
        else:
            active &= ~_converged(searches, direction_norms, tolerance)
            rows = searches.affordable(active)
        if len(rows) == 0:
            return bracketed
        steps = GOLDEN_FRACTION * searches.upper[rows]
        losses = searches.try_steps(steps, rows)
        below = losses < searches.lower_losses[rows]
        found, not_yet = rows[below], rows[~below]
        searches.middle[found], searches.middle_losses[found] = steps[below], losses[below]
        bracketed[found] = True
        active[found] = False
        searches.upper[not_yet], searches.upper_losses[not_yet] = steps[~below], losses[~below]


def _golden_sections(
    searches: _Searches, bracketed: Tensor, direction_norms: Tensor, tolerance: float
) -> None:
    """Shorten the brackets, one trial in the longer part of each per round."""
    active = bracketed.clone()
    while True:
        active &= ~_converged(searches, direction_norms, tolerance)
        rows = searches.affordable(active)
        if len(rows) == 0:
            return
        lower, middle, upper = searches.lower[rows], searches.middle[rows], searches.upper[rows]
        to_the_right = upper - middle > middle - lower
        reach = torch.where(to_the_right, upper - middle, lower - middle)
        steps = middle + GOLDEN_FRACTION * reach
        losses = searches.try_steps(steps, rows)
        improves = losses < searches.middle_losses[rows]

        # The better of trial and middle is the new middle; the other one closes the bracket on its
        # side.
        outer = torch.where(improves, middle, steps)
        outer_losses = torch.where(improves, searches.middle_losses[rows], losses)
        closes_lower = to_the_right == improves
        low, high = rows[closes_lower], rows[~closes_lower]
        searches.lower[low] = outer[closes_lower]
        searches.lower_losses[low] = outer_losses[closes_lower]
        searches.upper[high] = outer[~closes_lower]
        searches.upper_losses[high] = outer_losses[~closes_lower]
        better = rows[improves]
        searches.middle[better], searches.middle_losses[better] = steps[improves], losses[improves]


def _converged(searches: _Searches, direction_norms: Tensor, tolerance: float) -> Tensor:
    """Which brackets [B] are within tolerance, in length or in difference of their end losses."""
    length = (searches.upper - searches.lower) * direction_norms
    difference = (searches.upper_losses - searches.lower_losses).abs()
    return (length < tolerance) | (difference < tolerance)
