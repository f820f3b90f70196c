"""Line search of one network along w - u p (spec section 3): bracket, then golden section."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

GOLDEN_FRACTION = (3 - math.sqrt(5)) / 2
FIRST_STEP = 0.2
SMALLEST_STEP = 1e-12


@dataclass
class Trials:
    """The loss along the line, with every evaluation recorded and counted."""

    function: Callable[[float], float]
    budget: int
    steps: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def evaluate(self, step: float) -> float:
        """Return the loss at `step`; a loss that is not finite counts as infinite."""
        loss = float(self.function(step))
        if not math.isfinite(loss):
            loss = math.inf
        self.steps.append(step)
        self.losses.append(loss)
        return loss

    @property
    def spent(self) -> bool:
        """Whether the budget of evaluations is used up."""
        return len(self.steps) >= self.budget

    def best(self) -> tuple[float, float]:
        """Return the first step with the lowest loss, and that loss."""
        index = self.losses.index(min(self.losses))
        return self.steps[index], self.losses[index]


Bracket = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def search_line(
    function: Callable[[float], float],
    initial_loss: float,
    direction_norm: float,
    budget: int = 6,
    tolerance: float = 1e-4,
    monotone: bool = False,
) -> tuple[float, float, int]:
    """Return the step, its loss and the number of evaluations spent.

    `function(u)` is the loss at w - u p, `initial_loss` the loss at u = 0 (not evaluated again),
    `direction_norm` is |p|. The step may raise the loss, unless `monotone`: then it shrinks, beyond
    budget and tolerance, until it does not, and is 0 where every step does.
    """
    trials = Trials(function, budget)
    first_loss = trials.evaluate(FIRST_STEP)
    if first_loss < initial_loss:
        bracket = grow_bracket(trials, initial_loss, first_loss)
    elif monotone:
        bracket = shrink_until_lower(trials, initial_loss, first_loss)
    else:
        bracket = shrink_bracket(trials, initial_loss, first_loss, direction_norm, tolerance)
    if bracket is not None:
        golden_section(trials, bracket, direction_norm, tolerance)
    step, loss = trials.best()
    if monotone and not loss < initial_loss:
        return 0.0, initial_loss, len(trials.steps)
    return step, loss, len(trials.steps)


def grow_bracket(trials: Trials, initial_loss: float, first_loss: float) -> Bracket | None:
    """Try 0.8, 1.6, 3.2, ... until the loss no longer falls; None when the budget ends first."""
    before, best = (0.0, initial_loss), (FIRST_STEP, first_loss)
    exponent = 2
    while not trials.spent:
        step = FIRST_STEP * 2**exponent
        loss = trials.evaluate(step)
        if loss >= best[1]:
            return before, best, (step, loss)
        before, best = best, (step, loss)
        exponent += 1
    return None


def shrink_bracket(
    trials: Trials,
    initial_loss: float,
    first_loss: float,
    direction_norm: float,
    tolerance: float,
) -> Bracket | None:
    """Shrink the upper end by the golden fraction until a point lies below f(0), or give up."""
    upper = (FIRST_STEP, first_loss)
    while not trials.spent:
        if upper[0] * direction_norm < tolerance or abs(upper[1] - initial_loss) < tolerance:
            return None
        step = GOLDEN_FRACTION * upper[0]
        loss = trials.evaluate(step)
        if loss < initial_loss:
            return (0.0, initial_loss), (step, loss), upper
        upper = (step, loss)
    return None


def shrink_until_lower(trials: Trials, initial_loss: float, first_loss: float) -> Bracket | None:
    """Shrink the upper end until a point lies below f(0), however many trials that takes."""
    upper = (FIRST_STEP, first_loss)
    while upper[0] > SMALLEST_STEP:
        step = GOLDEN_FRACTION * upper[0]
        loss = trials.evaluate(step)
        if loss < initial_loss:
            return (0.0, initial_loss), (step, loss), upper
        upper = (step, loss)
    return None


def golden_section(
    trials: Trials, bracket: Bracket, direction_norm: float, tolerance: float
) -> None:
    """Narrow the bracket ((step, loss) of its lower, middle and upper point) within the budget."""
    lower, middle, upper = bracket
    while not trials.spent:
        if (upper[0] - lower[0]) * direction_norm < tolerance:
            return
        if abs(upper[1] - lower[1]) < tolerance:
            return
        above, below = upper[0] - middle[0], middle[0] - lower[0]
        if above > below:
            step = middle[0] + GOLDEN_FRACTION * above
            new = (step, trials.evaluate(step))
            if new[1] < middle[1]:
                lower, middle = middle, new
            else:
                upper = new
        else:
            step = middle[0] - GOLDEN_FRACTION * below
            new = (step, trials.evaluate(step))
            if new[1] < middle[1]:
                upper, middle = middle, new
            else:
                lower = new
