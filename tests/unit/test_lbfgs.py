"""Batched L-BFGS against one network at a time, dense inverse Hessians, and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from reference import data, networks
from reference.lbfgs import Run, run_lbfgs, two_loop_direction
from support.comparison import relative_error
from topography.architectures import get_architecture
from topography.errors import TopographyError
from topography.landscape import FunctionLandscape, Landscape
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.lbfgs import search_directions
from topography.training import initial_params

VARIANTS = [
    ("fcp", {}),
    ("fcp", {"activation": "relu"}),
    ("lenet", {}),
    ("lenet", {"activation": "relu"}),
    ("autoencoder", {}),
    ("lstm", {}),
]


def run_batched(
    landscape: Landscape, params: Tensor, iterations: int, **settings: object
) -> tuple[Tensor, Tensor]:
    """Return points [iterations, B, P] and losses [iterations, B] of the batched optimizer."""
    optimizer = get_optimizer("lbfgs", iterations=iterations, **settings)
    seeds = list(range(len(params)))
    state, _ = optimizer.start(landscape, params)  # type: ignore[arg-type]
    points, losses = [], []
    for iteration in range(1, iterations + 1):
        params, state, loss = optimizer.run_epoch(
            landscape,  # type: ignore[arg-type]
            params,
            state,
            seeds,
            iteration,
        )
        points.append(params)
        losses.append(loss)
    return torch.stack(points), torch.stack(losses)


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_iterations_equal_one_network_at_a_time(name: str, settings: dict[str, str]) -> None:
    """Five iterations with a history of two pairs: it fills, and its oldest pairs fall out."""
    activation = settings.get("activation", "softplus")
    images, labels = data.random_images(12, seed=2)
    objective = Objective(get_architecture(name, **settings), images, labels)
    start = torch.stack([networks.initial_vector(name, seed) for seed in (0, 1)]).double()
    points, losses = run_batched(objective, start, 5, history_size=2)

    def function(point: Tensor) -> tuple[float, Tensor]:
        return networks.loss_and_gradient(name, point, images, labels, activation)

    for row in range(2):
        run = run_lbfgs(function, start[row], 5, history_size=2)
        for iteration in range(5):
            assert relative_error(points[iteration, row], run.points[iteration]) < 1e-10
            assert losses[iteration, row].item() == pytest.approx(run.losses[iteration], rel=1e-9)


@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm"])
def test_one_step_from_trained_weights_equals_the_reference(name: str) -> None:
    """From larger weights, one iteration at a time: no rounding is carried along."""
    images, labels = data.random_images(12, seed=2)
    objective = Objective(get_architecture(name), images, labels)
    start = data.random_vectors(2, networks.PARAMETER_COUNTS[name], 0.1, seed=6)
    points, losses = run_batched(objective, start, 2)
    for row in range(2):
        run = run_lbfgs(
            lambda point: networks.loss_and_gradient(name, point, images, labels), start[row], 2
        )
        assert relative_error(points[0, row], run.points[0]) < 1e-10
        assert relative_error(points[1, row], run.points[1]) < 1e-10
        assert losses[1, row].item() == pytest.approx(run.losses[1], rel=1e-10)


@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm"])
def test_runs_do_not_depend_on_batch_mates(name: str) -> None:
    """Bit for bit in float32 on one thread, although the searches end at different times."""
    images, labels = data.random_images(33, seed=2, dtype=torch.float32)
    objective = Objective(get_architecture(name), images, labels)
    start = torch.stack([networks.initial_vector(name, seed) for seed in (0, 1, 2)])
    start[1] *= 3
    together, losses = run_batched(objective, start, 5)
    for row in range(3):
        alone, alone_losses = run_batched(objective, start[row : row + 1], 5)
        assert torch.equal(alone[:, 0], together[:, row])
        assert torch.equal(alone_losses[:, 0], losses[:, row])


# Quadratics -------------------------------------------------------------------------------------

DIMENSION = 8


def quadratic(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return a positive matrix [D, D] with condition number 100, and the minimum [D]."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(DIMENSION, DIMENSION, generator=generator).double())
    eigenvalues = torch.logspace(0, 2, DIMENSION, dtype=torch.float64)
    return basis @ eigenvalues.diag() @ basis.T, torch.randn(
        DIMENSION, generator=generator
    ).double()


def test_a_line_is_searched_on_the_images_of_its_iteration() -> None:
    """As where each iteration gets a subset of its own: the last gradient's images are others."""
    architecture = get_architecture("fcp")
    first, second = (Objective(architecture, *data.random_images(9, seed=seed)) for seed in (1, 2))
    params = initial_params(architecture, [0, 1]).double()
    ends = []
    for optimizer in (get_optimizer("lbfgs", iterations=1) for _ in range(2)):
        state, _ = optimizer.start(first, params)
        ends.append((optimizer, state))
    (cached, state), (fresh, same) = ends
    fresh._here = None
    expected, _, _ = fresh.run_epoch(second, params, same, [0, 1], 1)
    found, _, _ = cached.run_epoch(second, params, state, [0, 1], 1)
    assert torch.equal(found, expected)


def test_quadratic_minimum_equals_scipy() -> None:
    matrix, minimum = quadratic()

    def function(points: Tensor) -> Tensor:
        offset = points - minimum
        return 0.5 * ((offset @ matrix) * offset).sum(-1)

    start = data.random_vectors(3, DIMENSION, 3.0)
    points, losses = run_batched(
        FunctionLandscape(function), start, 60, line_search_budget=20, line_search_tolerance=1e-14
    )
    expected = optimize.minimize(
        lambda x: function(torch.from_numpy(x)).item(),
        start[0].numpy(),
        jac=lambda x: (matrix @ (torch.from_numpy(x) - minimum)).numpy(),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    assert losses[-1].max().item() < 1e-12
    for row in range(3):
        assert np.abs(points[-1, row].numpy() - expected.x).max() < 1e-5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_quadratic_run_equals_the_reference_with_the_papers_settings(seed: int) -> None:
    """The paper's budget and tolerance; scales from a valley floor to a steep wall."""
    matrix, minimum = quadratic(seed)
    start = data.random_vectors(3, DIMENSION, 1.0, seed=seed)
    start *= torch.tensor([[0.1], [1.0], [30.0]], dtype=torch.float64)

    def function(point: Tensor) -> tuple[float, Tensor]:
        gradient = matrix @ (point - minimum)
        return 0.5 * (gradient @ (point - minimum)).item(), gradient

    landscape = FunctionLandscape(
        lambda points: 0.5 * (((points - minimum) @ matrix) * (points - minimum)).sum(-1)
    )
    points, _ = run_batched(landscape, start, 8)
    for row in range(3):
        run: Run = run_lbfgs(function, start[row], 8)
        assert relative_error(points[-1, row], run.points[-1]) < 1e-9


# Directions -------------------------------------------------------------------------------------


def random_history(pairs: int, capacity: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return steps and gradient changes [1, capacity, D] of a quadratic, and the count [1]."""
    matrix, _ = quadratic(seed)
    steps = torch.zeros(1, capacity, DIMENSION, dtype=torch.float64)
    steps[0, capacity - pairs :] = data.random_vectors(pairs, DIMENSION, 1.0, seed=seed)
    return steps, steps @ matrix, torch.tensor([pairs])


def dense_direction(gradient: Tensor, s_list: list[Tensor], y_list: list[Tensor]) -> Tensor:
    """Return H grad with the inverse Hessian written out as a matrix (BFGS update)."""
    identity = torch.eye(len(gradient), dtype=gradient.dtype)
    inverse = identity * (s_list[-1] @ y_list[-1]) / (y_list[-1] @ y_list[-1])
    for s, y in zip(s_list, y_list, strict=True):
        rho = 1 / (s @ y)
        left = identity - rho * torch.outer(s, y)
        inverse = left @ inverse @ left.T + rho * torch.outer(s, s)
    return inverse @ gradient


@pytest.mark.parametrize("pairs", [1, 3, 5])
def test_direction_equals_the_dense_inverse_hessian(pairs: int) -> None:
    steps, changes, counts = random_history(pairs, capacity=5)
    gradient = data.random_vectors(1, DIMENSION, 1.0, seed=9)
    directions, kept = search_directions(gradient, steps, changes, counts, 0.0)
    s_list, y_list = list(steps[0, 5 - pairs :]), list(changes[0, 5 - pairs :])
    expected = dense_direction(gradient[0], s_list, y_list)
    assert kept.tolist() == [pairs]
    assert relative_error(directions[0], expected) < 1e-10
    assert relative_error(two_loop_direction(gradient[0], s_list, y_list, 0.0), expected) < 1e-10


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5])
def test_damped_direction_equals_the_reference(scale: float) -> None:
    """Pairs fade as s.y falls below the damping: a different direction, the same as one by one."""
    steps, changes, counts = random_history(4, capacity=5)
    steps, changes = scale * steps, scale * changes
    gradient = data.random_vectors(1, DIMENSION, 1.0, seed=9)
    damped, _ = search_directions(gradient, steps, changes, counts, 1e-6)
    plain, _ = search_directions(gradient, steps, changes, counts, 0.0)
    expected = two_loop_direction(gradient[0], list(steps[0, 1:]), list(changes[0, 1:]), 1e-6)
    assert relative_error(damped[0], expected) < 1e-10
    assert relative_error(damped, plain) > 1e-8


def test_first_direction_is_the_gradient() -> None:
    steps, changes, counts = random_history(0, capacity=5)
    gradient = data.random_vectors(1, DIMENSION, 1.0)
    directions, kept = search_directions(gradient, steps, changes, counts, 0.0)
    assert torch.equal(directions, gradient)
    assert kept.tolist() == [0]


def with_cosine(cosine: float) -> tuple[Tensor, Tensor]:
    """Return a step and a gradient change [D] at a given cosine, of unequal lengths."""
    step, change = torch.zeros(2, DIMENSION, dtype=torch.float64)
    step[0] = 0.3
    change[0], change[1] = 7 * cosine, 7 * math.sqrt(1 - cosine**2)
    return step, change


@pytest.mark.parametrize(
    ("cosine", "dropped"), [(0.5, False), (1.01e-4, False), (0.99e-4, True), (-0.5, True)]
)
@pytest.mark.parametrize("position", [2, 3, 4])
def test_low_curvature_in_any_pair_drops_the_whole_history(
    cosine: float, dropped: bool, position: int
) -> None:
    """Only the run concerned: its neighbour in the batch keeps its history and its direction."""
    steps, changes, counts = random_history(3, capacity=5)
    steps, changes = steps.repeat(2, 1, 1), changes.repeat(2, 1, 1)
    counts = counts.repeat(2)
    steps[0, position], changes[0, position] = with_cosine(cosine)
    gradient = data.random_vectors(2, DIMENSION, 1.0)
    directions, kept = search_directions(gradient, steps, changes, counts, 0.0)
    neighbour = dense_direction(gradient[1], list(steps[1, 2:]), list(changes[1, 2:]))
    assert relative_error(directions[1], neighbour) < 1e-10
    if dropped:
        assert kept.tolist() == [0, 3]
        assert torch.equal(directions[0], gradient[0])
    else:
        expected = two_loop_direction(gradient[0], list(steps[0, 2:]), list(changes[0, 2:]), 0.0)
        assert kept.tolist() == [3, 3]
        assert relative_error(directions[0], expected) < 1e-8


@pytest.mark.parametrize("kind", ["zero step", "zero change", "NaN", "infinite"])
def test_unusable_pairs_and_directions_drop_the_history(kind: str) -> None:
    steps, changes, counts = random_history(2, capacity=2)
    if kind == "zero step":
        steps[0, 0] = 0.0
    elif kind == "zero change":
        changes[0, 1] = 0.0
    elif kind == "NaN":
        changes[0, 0, 3] = math.nan
    else:
        axis = torch.eye(DIMENSION, dtype=torch.float64)[0]
        steps[0, 1], changes[0, 1] = 1e150 * axis, 1e-160 * axis
    gradient = data.random_vectors(1, DIMENSION, 1.0)
    if kind == "infinite":
        plain = two_loop_direction(gradient[0], list(steps[0]), list(changes[0]), 0.0)
        assert not plain.isfinite().all()  # though both pairs have a positive curvature
    directions, kept = search_directions(gradient, steps, changes, counts, 0.0)
    assert kept.tolist() == [0]
    assert torch.equal(directions, gradient)


def test_resets_happen_where_the_reference_resets() -> None:
    """Short steps near a maximum have negative curvature: the same points, histories dropped."""

    def value(points: Tensor) -> Tensor:
        return (torch.cos(3 * points) + 0.1 * points.square()).sum(-1)

    def function(point: Tensor) -> tuple[float, Tensor]:
        leaf = point.clone().requires_grad_()
        loss = value(leaf)
        loss.backward()
        return loss.item(), leaf.grad

    start = data.random_vectors(6, DIMENSION, 1.0, seed=4)
    start *= torch.logspace(-3, 0, 6, dtype=torch.float64)[:, None]
    points, _ = run_batched(FunctionLandscape(value), start, 8, line_search_budget=1)
    resets = 0
    for row in range(6):
        run = run_lbfgs(function, start[row], 8, budget=1)
        resets += len(run.resets)
        assert relative_error(points[-1, row], run.points[-1]) < 1e-9
    assert resets >= 6


def test_monotone_variant_never_raises_the_loss() -> None:
    """Many steep valleys and two trials per search: the paper's method sometimes climbs."""

    def value(points: Tensor) -> Tensor:
        return 20 * (torch.cos(3 * points) + 0.1 * points.square()).sum(-1)

    start = data.random_vectors(6, DIMENSION, 0.5, seed=4)
    landscape = FunctionLandscape(value)
    _, papers = run_batched(landscape, start, 25, line_search_budget=2)
    _, losses = run_batched(landscape, start, 25, line_search_budget=2, monotone=True)
    assert (papers.diff(dim=0) > 0).any()
    assert (losses.diff(dim=0) <= 1e-12).all()
    assert (losses[0] <= value(start) + 1e-12).all()


@pytest.mark.parametrize("curvature", [50.0, 5000.0])
def test_monotone_variant_does_not_stand_still(curvature: float) -> None:
    """The first trial raises the loss: by less than the tolerance, or too much for the budget."""
    scale = torch.tensor([1.0, curvature], dtype=torch.float64)

    def value(points: Tensor) -> Tensor:
        return 0.5 * (scale * points.square()).sum(-1)

    start = torch.tensor([[1e-4, 1e-4]], dtype=torch.float64)
    _, losses = run_batched(FunctionLandscape(value), start, 20, monotone=True, curvature_damping=0)
    assert (losses.diff(dim=0) <= 0).all()
    assert losses[-1].item() < 1e-6 * value(start).item()


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": 0},
        {"iterations": 2.5},
        {"iterations": 5, "history_size": 0},
        {"iterations": 5, "line_search_budget": 0},
        {"iterations": 5, "line_search_tolerance": -1.0},
        {"iterations": 5, "curvature_damping": math.nan},
        {"iterations": 5, "momentum": 0.9},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TopographyError, match="lbfgs"):
        get_optimizer("lbfgs", **wrong)
