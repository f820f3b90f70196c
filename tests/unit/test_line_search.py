"""Batched line search against the scalar one, its promises as properties, and SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from torch import Tensor

from reference.line_search import GOLDEN_FRACTION, search_line
from topography.line_search import line_search

Function = Callable[[float], float]


@dataclass
class Recorder:
    """Serves trials of several functions to the batched search and remembers each one."""

    functions: list[Function]
    steps: list[list[float]] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = [[] for _ in self.functions]
        self.losses = [[] for _ in self.functions]

    def __call__(self, steps: Tensor, rows: Tensor) -> Tensor:
        values = []
        for step, row in zip(steps.tolist(), rows.tolist(), strict=True):
            values.append(self.functions[row](step))
            self.steps[row].append(step)
            self.losses[row].append(values[-1])
        return torch.tensor(values, dtype=torch.float64)


def bowl(centre: float, curvature: float) -> Function:
    """Return a parabola with its minimum at `centre`."""
    return lambda u: curvature * (u - centre) ** 2


def slope(rate: float) -> Function:
    """Return a straight line: flat for 0, without any minimum otherwise."""
    return lambda u: rate * u


def waves(amplitude: float, frequency: float, phase: float, rate: float) -> Function:
    """Return a function with many minima."""
    return lambda u: amplitude * math.sin(frequency * u + phase) + rate * u


def broken_beyond(limit: float, value: float, inside: Function) -> Function:
    """Return `inside` up to `limit` and `value` (NaN, infinity) beyond it."""
    return lambda u: inside(u) if u < limit else value


finite = st.floats(-10, 10, allow_nan=False)
positive = st.floats(1e-3, 10)
unbroken = st.one_of(
    st.builds(bowl, st.floats(-1, 30), positive),
    st.builds(slope, st.sampled_from([0.0, -1.0, 1.0, 1e-9, -1e-9])),
    st.builds(waves, positive, st.floats(0.1, 40), finite, finite),
)
functions = st.one_of(
    unbroken,
    st.builds(broken_beyond, positive, st.sampled_from([math.nan, math.inf, -math.inf]), unbroken),
)
budgets = st.sampled_from([1, 2, 3, 6, 20])
tolerances = st.sampled_from([0.0, 1e-4, 1e-2])
norms = st.sampled_from([1e-6, 1e-2, 1.0, 100.0])


@settings(max_examples=150)
@given(
    lines=st.lists(st.tuples(functions, norms), min_size=1, max_size=5),
    budget=budgets,
    tolerance=tolerances,
    monotone=st.booleans(),
)
def test_batched_searches_equal_scalar_ones(
    lines: list[tuple[Function, float]], budget: int, tolerance: float, monotone: bool
) -> None:
    """Same steps, losses and number of evaluations, exactly, for searches of different length."""
    recorder = Recorder([function for function, _ in lines])
    result = line_search(
        recorder,
        torch.tensor([function(0.0) for function, _ in lines], dtype=torch.float64),
        torch.tensor([norm for _, norm in lines], dtype=torch.float64),
        budget=budget,
        tolerance=tolerance,
        monotone=monotone,
    )
    for row, (function, norm) in enumerate(lines):
        expected = search_line(function, function(0.0), norm, budget, tolerance, monotone)
        found = (
            result.steps[row].item(),
            result.losses[row].item(),
            len(recorder.steps[row]),
        )
        assert found == expected


@settings(max_examples=150)
@given(function=functions, norm=norms, budget=budgets, tolerance=tolerances)
def test_promises_of_the_line_search(
    function: Function, norm: float, budget: int, tolerance: float
) -> None:
    """Never more evaluations than the budget; the result is the best of those evaluated."""
    recorder = Recorder([function])
    initial = torch.tensor([function(0.0)], dtype=torch.float64)
    length = torch.tensor([norm], dtype=torch.float64)
    result = line_search(recorder, initial, length, budget=budget, tolerance=tolerance)
    steps = recorder.steps[0]
    losses = [loss if math.isfinite(loss) else math.inf for loss in recorder.losses[0]]
    assert 1 <= len(steps) <= budget
    assert steps[0] == 0.2
    assert all(step > 0 for step in steps)
    assert len(set(steps)) == len(steps)
    assert result.losses.item() == min(losses)
    assert losses[steps.index(result.steps.item())] == min(losses)

    recorder = Recorder([function])
    never_up = line_search(
        recorder, initial, length, budget=budget, tolerance=tolerance, monotone=True
    )
    losses = [loss if math.isfinite(loss) else math.inf for loss in recorder.losses[0]]
    assert never_up.losses.item() == min([*losses, function(0.0)])
    assert (never_up.steps.item() == 0.0) == (min(losses) >= function(0.0))


@pytest.mark.parametrize("norm", [1e-6, 1.0])
def test_monotone_search_shrinks_until_the_loss_falls(norm: float) -> None:
    """Beyond the budget, and where differences of loss or lengths are within tolerance at once."""
    for function in (bowl(1e-5, 1e-3), bowl(1e-5, 1e3)):
        _, step = search_one(function, norm=norm)
        assert function(step) > function(0.0)
        recorder, step = search_one(function, norm=norm, monotone=True)
        assert function(step) < function(0.0)
        assert len(recorder.steps[0]) > 6


def test_monotone_search_stays_where_every_step_raises_the_loss() -> None:
    recorder, step = search_one(slope(1.0), monotone=True)
    assert step == 0.0
    assert recorder.steps[0][-1] < 1e-12 < recorder.steps[0][-2]


def test_monotone_search_from_no_loss_at_all_ends_at_once() -> None:
    recorder, step = search_one(lambda step: 1.0 if step else math.nan, monotone=True)
    assert step == 0.0
    assert len(recorder.steps[0]) == 1


def search_one(
    function: Function,
    budget: int = 6,
    norm: float = 1.0,
    tolerance: float = 1e-4,
    monotone: bool = False,
) -> tuple[Recorder, float]:
    """Run one search, at the paper's tolerance; return what it tried and the step it took."""
    recorder = Recorder([function])
    result = line_search(
        recorder,
        torch.tensor([function(0.0)], dtype=torch.float64),
        torch.tensor([norm], dtype=torch.float64),
        budget=budget,
        tolerance=tolerance,
        monotone=monotone,
    )
    return recorder, result.steps.item()


def test_budget_of_one_returns_the_first_trial() -> None:
    for function in (slope(1.0), slope(-1.0), slope(0.0), bowl(0.1, 1.0)):
        recorder, step = search_one(function, budget=1)
        assert recorder.steps[0] == [0.2]
        assert step == 0.2


def test_falling_line_is_followed_until_the_budget_is_spent() -> None:
    recorder, step = search_one(slope(-1.0))
    assert recorder.steps[0] == [0.2, 0.8, 1.6, 3.2, 6.4, 12.8]
    assert step == 12.8


def test_rising_line_shrinks_and_may_raise_the_loss() -> None:
    recorder, step = search_one(slope(1.0))
    assert recorder.steps[0] == pytest.approx([0.2 * GOLDEN_FRACTION**k for k in range(6)])
    assert step == recorder.steps[0][-1]


def test_rising_line_stops_within_tolerance() -> None:
    """The upper end is close enough in length after one trial (|p| = 4e-4), in loss after none."""
    recorder, _ = search_one(slope(1000.0), norm=4e-4)
    assert len(recorder.steps[0]) == 1
    recorder, _ = search_one(slope(1000.0), norm=1e-3)
    assert len(recorder.steps[0]) == 2
    recorder, _ = search_one(slope(1e-4))
    assert len(recorder.steps[0]) == 1


def test_flat_line_ends_at_once() -> None:
    recorder, step = search_one(slope(0.0))
    assert recorder.steps[0] == [0.2]
    assert step == 0.2


def test_bracket_whose_lower_end_is_not_zero() -> None:
    """Falls to 1.6, rises at 3.2: the sections lie between 0.8 and 3.2, not between 0 and 3.2."""
    recorder, step = search_one(bowl(1.5, 1.0), budget=12)
    assert recorder.steps[0][:4] == [0.2, 0.8, 1.6, 3.2]
    assert recorder.steps[0][4] == pytest.approx(1.6 + GOLDEN_FRACTION * 1.6)
    assert recorder.steps[0][5] == pytest.approx(1.6 - GOLDEN_FRACTION * 0.8)
    assert all(0.8 < trial < 3.2 for trial in recorder.steps[0][4:])
    assert step == pytest.approx(1.5, abs=0.05)


def test_budget_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="budget"):
        search_one(slope(1.0), budget=0)


@settings(max_examples=60)
@given(centre=st.floats(0.01, 30), curvature=st.floats(0.1, 10))
def test_the_minimum_is_found_wherever_it_lies(centre: float, curvature: float) -> None:
    """Brackets at 0 and beyond, with the minimum at either side of their inner point."""
    _, step = search_one(bowl(centre, curvature), budget=80, tolerance=0.0)
    assert step == pytest.approx(centre, abs=1e-6)


def test_golden_sections_try_the_points_scipy_tries() -> None:
    """In the bracket 0, 0.076, 0.2, whose inner point is the one that SciPy begins with."""
    seen: list[float] = []

    def function(u: float) -> float:
        seen.append(u)
        return math.exp(-20.0 * u) + 5.0 * u

    lower, inner, upper = 0.0, GOLDEN_FRACTION * 0.2, 0.2
    optimize.golden(function, brack=(lower, inner, upper), tol=1e-5)
    scipy_trials = [u for u in seen if u not in (lower, inner, upper)]
    recorder, _ = search_one(function, budget=17, tolerance=0.0)
    assert recorder.steps[0][:2] == pytest.approx([upper, inner])
    # SciPy writes the golden ratio with eight digits.
    assert recorder.steps[0][2:] == pytest.approx(scipy_trials[:15], abs=1e-8)


@pytest.mark.parametrize("budget", [4, 9])
def test_golden_sections_keep_the_budget_and_the_tolerance(budget: int) -> None:
    """In the bracket 0.2, 0.8, 1.6. Ends of different height: only the budget ends the search."""
    recorder, step = search_one(bowl(1.0, 1.0), budget=budget)
    assert len(recorder.steps[0]) == budget
    assert abs(step - 1.0) <= 0.2
    # Ends of the same height end it before the first section.
    recorder, step = search_one(bowl(0.9, 1.0), budget=budget)
    assert recorder.steps[0] == [0.2, 0.8, 1.6]
    assert step == 0.8
