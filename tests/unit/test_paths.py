"""FourierPathFinder against a loop over the points, finite differences, and the paper's Fig. 3."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reference import data, networks
from reference.paths import (
    FIRST_MINIMUM,
    SECOND_MINIMUM,
    figure_3_function,
    find_reference_path,
    path_loss,
    point_on_path,
)
from support.comparison import relative_error
from topography import paths as paths_module
from topography.architectures import get_architecture
from topography.landscape import FunctionLandscape, Landscape
from topography.objective import Objective
from topography.paths import (
    PathSearch,
    find_path,
    find_paths,
    path_basis,
    path_losses_and_gradients,
)

VARIANTS = [
    ("fcp", {}),
    ("fcp", {"activation": "relu"}),
    ("lenet", {}),
    ("lenet", {"activation": "relu"}),
    ("autoencoder", {}),
    ("lstm", {}),
]
START = torch.tensor(FIRST_MINIMUM, dtype=torch.float64)
END = torch.tensor(SECOND_MINIMUM, dtype=torch.float64)


def make_objective(
    name: str, settings: dict[str, str] | None = None, dtype: torch.dtype = torch.float64
) -> Objective:
    """Return the objective of a few random images."""
    images, labels = data.random_images(11, seed=8, dtype=dtype)
    return Objective(get_architecture(name, **(settings or {})), images, labels)


def vectors_for(name: str, count: int, seed: int) -> Tensor:
    """Return parameter vectors [count, P] of trained size."""
    scale = 0.3 if name == "lstm" else 0.1
    return data.random_vectors(count, networks.PARAMETER_COUNTS[name], scale, seed=seed)


def record_gradients(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Return the list that will hold coefficients and gradients [S, N, P] of each step."""
    seen: list[tuple[Tensor, Tensor]] = []

    def recorded(
        landscape: Landscape,
        starts: Tensor,
        ends: Tensor,
        coefficients: Tensor,
        *others: float,
        **named: Tensor,
    ) -> tuple[Tensor, Tensor]:
        losses, gradients = path_losses_and_gradients(
            landscape, starts, ends, coefficients, *others, **named
        )
        seen.append((coefficients.clone(), gradients.clone()))
        return losses, gradients

    monkeypatch.setattr(paths_module, "path_losses_and_gradients", recorded)
    return seen


@pytest.mark.parametrize("keep", ["lowest", "last", "mean"])
@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm"])
def test_paths_equal_one_pair_and_one_point_at_a_time(name: str, keep: str) -> None:
    """Three Adam steps for two pairs, large enough for the summed loss to rise in one of them."""
    objective = make_objective(name)
    starts, ends = vectors_for(name, 2, seed=1), vectors_for(name, 2, seed=2)
    options = {"terms": 3, "points": 5, "penalty": 1e-4, "steps": 3, "learning_rate": 0.01}
    paths = find_paths(objective, starts, ends, keep=keep, **options)
    landscape = networks.landscape(name, objective.images, objective.labels)
    losses = paths.losses(objective, 5)
    for row in range(2):
        expected = find_reference_path(landscape, starts[row], ends[row], keep=keep, **options)
        assert relative_error(paths.step_losses[row], expected.step_losses) < 1e-10
        assert relative_error(paths.coefficients[row], expected.coefficients) < 1e-10
        assert relative_error(losses[row], expected.losses) < 1e-10


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_every_step_equals_the_reference(
    name: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step from the coefficients the batch had reached, with a penalty that matters.

    Step by step, because Adam divides by the size of the gradient: for a weight without one (a dead
    ReLU) it makes rounding grow a thousandfold per step, in any implementation.
    """
    seen = record_gradients(monkeypatch)
    objective = make_objective(name, settings)
    starts, ends = vectors_for(name, 2, seed=1), vectors_for(name, 2, seed=2)
    options = {"terms": 3, "points": 5, "penalty": 0.02, "steps": 4, "learning_rate": 0.01}
    paths = find_paths(objective, starts, ends, keep="last", **options)
    landscape = networks.landscape(
        name, objective.images, objective.labels, settings.get("activation", "softplus")
    )
    ts = [m / 4 for m in range(5)]
    assert len(seen) == 4
    for row in range(2):
        replayed = torch.zeros_like(seen[0][0][row])
        adam = torch.optim.Adam([replayed], lr=0.01)
        for step, (coefficients, gradients) in enumerate(seen):
            assert relative_error(replayed, coefficients[row]) < 1e-10
            leaf = coefficients[row].clone().requires_grad_()
            total, losses = path_loss(landscape, starts[row], ends[row], leaf, ts, 0.02)
            total.backward()
            assert relative_error(gradients[row], leaf.grad) < 1e-10
            assert relative_error(paths.step_losses[row, step], losses.detach().sum()) < 1e-10
            replayed.grad = gradients[row]
            adam.step()
        assert relative_error(paths.coefficients[row], replayed) < 1e-10


@pytest.mark.parametrize("keep", ["lowest", "last", "mean"])
def test_long_runs_equal_the_reference(keep: str) -> None:
    """Fifty steps on the landscape of Fig. 3, so large that the summed loss goes up and down."""
    landscape = FunctionLandscape(figure_3_function)
    options = {"terms": 4, "points": 12, "penalty": 1.0, "steps": 50, "learning_rate": 0.15}
    path = find_path(landscape, START, END, keep=keep, **options)
    expected = find_reference_path(figure_3_function, START, END, keep=keep, **options)
    assert (expected.step_losses.diff() > 0).any()
    assert (expected.step_losses.diff() < 0).any()
    assert relative_error(path.step_losses, expected.step_losses) < 1e-9
    assert relative_error(path.coefficients, expected.coefficients) < 1e-9
    assert path.height(landscape, 12) == pytest.approx(expected.height, rel=1e-9)


def test_basis_is_the_formula() -> None:
    """Columns t, 1 - t and sin(n pi t), as in Eq. 3."""
    basis = path_basis(9, 4)
    assert basis.shape == (9, 6)
    for m in range(9):
        t = m / 8
        row = [t, 1 - t, *(math.sin(n * math.pi * t) for n in (1, 2, 3, 4))]
        assert basis[m].tolist() == pytest.approx(row, abs=1e-14)


def test_gradient_equals_finite_differences() -> None:
    """Every component of dL/db_n (Algorithm 2) for three paths, with a penalty that matters."""
    starts, ends = torch.stack([START, END, START]), torch.stack([END, START, START])
    coefficients = data.random_vectors(9, 2, 0.3, seed=1).view(3, 3, 2)
    coefficients[0] = 0.0
    ts = [m / 6 for m in range(7)]
    losses, gradients = path_losses_and_gradients(
        FunctionLandscape(figure_3_function), starts, ends, coefficients, 7, 5.0
    )
    step = 1e-6
    for row in range(3):

        def objective(change: Tensor, row: int = row) -> float:
            moved = coefficients[row] + change
            return path_loss(figure_3_function, starts[row], ends[row], moved, ts, 5.0)[0].item()

        without_penalty = path_loss(
            figure_3_function, starts[row], ends[row], coefficients[row], ts[1:-1], 0.0
        )[0]
        assert losses[row].item() == pytest.approx(without_penalty.item(), rel=1e-12)
        for component in range(6):
            change = torch.zeros(6, dtype=torch.float64)
            change[component] = step
            change = change.view(3, 2)
            difference = (objective(change) - objective(-change)) / (2 * step)
            found = gradients[row].flatten()[component].item()
            assert found == pytest.approx(difference, rel=1e-7, abs=1e-7)


def test_losses_at_other_points_stand_for_those_of_the_path() -> None:
    """Three points in place of seven: 7 / 3 of their losses and gradients, the penalty as it is."""
    ends, coefficients = (START[None], END[None]), data.random_vectors(3, 2, 0.3, seed=1)
    others = torch.tensor([0.1, 0.35, 1.0], dtype=torch.float64)

    def at(points: Tensor | None, penalty: float) -> tuple[Tensor, Tensor]:
        return path_losses_and_gradients(
            FunctionLandscape(figure_3_function), *ends, coefficients[None], 7, penalty, points
        )

    (losses, gradients), (_, of_penalty) = at(others, 5.0), at(None, 5.0)
    leaf = coefficients.clone().requires_grad_()
    sums, _ = path_loss(figure_3_function, START, END, leaf, others.tolist(), 0.0)
    (expected,) = torch.autograd.grad(sums, leaf)
    assert losses.item() == pytest.approx(7 / 3 * sums.item(), rel=1e-12)
    of_penalty = of_penalty - at(None, 0.0)[1]
    assert relative_error(gradients[0], 7 / 3 * expected + of_penalty[0]) < 1e-12


@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm"])
def test_network_gradient_equals_finite_differences(name: str) -> None:
    """The slope of Eq. 4 in random directions of the coefficients."""
    objective = make_objective(name)
    start, end = vectors_for(name, 1, seed=1), vectors_for(name, 1, seed=2)
    coefficients = 0.3 * vectors_for(name, 2, seed=6)
    _, gradients = path_losses_and_gradients(objective, start, end, coefficients[None], 4, 0.01)
    ts = [m / 3 for m in range(4)]

    def eq_4(coefficients: Tensor) -> float:
        points = torch.stack([point_on_path(t, start[0], end[0], coefficients) for t in ts])
        penalty = 0.01 * points.diff(dim=0).square().sum()
        return (objective.losses(points).sum() + penalty).item()

    for seed in (3, 4, 5):
        direction = data.random_vectors(2, start.shape[1], 1.0, seed=seed)
        slope = (gradients[0] * direction).sum().item()
        step = 1e-5
        ahead = eq_4(coefficients + step * direction)
        behind = eq_4(coefficients - step * direction)
        assert (ahead - behind) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paths_end_at_the_given_solutions(dtype: torch.dtype) -> None:
    """Exactly, whatever the coefficients: t = 1 is the start, t = 0 the end (Eq. 3)."""
    objective = make_objective("fcp", dtype=dtype)
    starts = vectors_for("fcp", 2, seed=1).to(dtype)
    ends = vectors_for("fcp", 2, seed=2).to(dtype)
    paths = find_paths(objective, starts, ends, points=5, steps=2, learning_rate=0.1, keep="last")
    assert paths.coefficients.abs().max() > 0.05
    for count in (5, 8):
        points = paths.points(count)
        assert torch.equal(points[:, -1], starts)
        assert torch.equal(points[:, 0], ends)
        losses = paths.losses(objective, count)
        rounding = 1e-5 if dtype == torch.float32 else 1e-12
        assert torch.allclose(losses[:, -1], objective.losses(starts), rtol=rounding)
        assert torch.allclose(losses[:, 0], objective.losses(ends), rtol=rounding)


def test_measurements_of_a_path() -> None:
    """Points, losses, height and length on any grid, and the straight line between the ends."""
    landscape = FunctionLandscape(figure_3_function)
    path = find_path(landscape, START, END, terms=3, points=20, penalty=10.0, learning_rate=0.01)
    points = torch.stack([point_on_path(m / 32, START, END, path.coefficients) for m in range(33)])
    losses = [figure_3_function(point).item() for point in points]
    length = sum(math.dist(points[m], points[m + 1]) for m in range(32))
    assert torch.allclose(path.points(33), points, rtol=0, atol=1e-14)
    assert path.losses(landscape, 33).tolist() == pytest.approx(losses, abs=1e-13)
    assert path.height(landscape, 33) == pytest.approx(max(losses), abs=1e-13)
    assert path.length(33) == pytest.approx(length, rel=1e-12)

    straight = path.straight()
    line = torch.stack([m / 32 * START + (1 - m / 32) * END for m in range(33)])
    assert torch.allclose(straight.points(33), line, rtol=0, atol=1e-14)
    assert straight.length(33) == pytest.approx(math.dist(START, END), rel=1e-12)
    assert straight.length(2) == pytest.approx(math.dist(START, END), rel=1e-12)
    assert path.height(landscape, 33) < straight.height(landscape, 33)


# Fig. 3 -----------------------------------------------------------------------------------------


def test_straight_line_height_of_figure_3() -> None:
    landscape = FunctionLandscape(figure_3_function)
    path = find_path(landscape, START, END, steps=1)
    assert round(path.straight().height(landscape, 100), 3) == 1.102


@pytest.mark.parametrize("keep", ["lowest", "last", "mean"])
@pytest.mark.parametrize(("penalty", "height"), [(10, 0.646), (100, 0.640), (1000, 0.652)])
def test_path_heights_of_figure_3(penalty: float, height: float, keep: str) -> None:
    """The published path heights within 1 %: the search minimises f^2, the height is of f."""
    path = find_path(
        FunctionLandscape(lambda points: figure_3_function(points).square()),
        START,
        END,
        terms=10,
        points=100,
        penalty=penalty,
        steps=300,
        learning_rate=0.01,
        keep=keep,
    )
    found = path.height(FunctionLandscape(figure_3_function), 100)
    assert found == pytest.approx(height, rel=0.01)


# Batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm"])
def test_pairs_do_not_depend_on_batch_mates(name: str, dtype: torch.dtype) -> None:
    """Three pairs together end bit for bit where each one alone ends."""
    objective = make_objective(name, dtype=dtype)
    starts = vectors_for(name, 3, seed=1).to(dtype)
    ends = vectors_for(name, 3, seed=2).to(dtype)
    options = {"terms": 3, "points": 6, "steps": 4, "learning_rate": 0.01}
    together = find_paths(objective, starts, ends, **options)
    for row in range(3):
        one = slice(row, row + 1)
        alone = find_paths(objective, starts[one], ends[one], **options)
        assert torch.equal(alone.coefficients, together.coefficients[one])
        assert torch.equal(alone.step_losses, together.step_losses[one])
        losses = alone.losses(objective, 9)
        assert torch.equal(losses, together.losses(objective, 9)[one])


def test_lowest_is_kept_for_each_pair_on_its_own() -> None:
    """At a wild rate the summed loss of the kept path is the lowest one met, pair by pair."""
    landscape = FunctionLandscape(figure_3_function)
    starts, ends = torch.stack([START, END, START]), torch.stack([END, START, 0.5 * END])
    paths = find_paths(landscape, starts, ends, points=12, penalty=0.0, steps=30, learning_rate=0.2)
    kept = paths.losses(landscape, 12).sum(dim=1)
    assert torch.allclose(kept, paths.step_losses.amin(dim=1), rtol=1e-12)
    assert len(set(paths.step_losses.argmin(dim=1).tolist())) > 1


@pytest.mark.parametrize("keep", ["lowest", "last", "mean"])
@pytest.mark.parametrize("left_at", [1, 12, 30])
def test_a_search_that_is_left_goes_on_in_whatever_company(keep: str, left_at: int) -> None:
    """Three pairs that part after some steps, at a wild rate, end bit for bit as if together."""
    landscape = FunctionLandscape(figure_3_function)
    starts, ends = torch.stack([START, END, START]), torch.stack([END, START, 0.5 * END])
    options = {"terms": 3, "points": 12, "penalty": 0.1, "steps": 30, "learning_rate": 0.2}
    unbroken = find_paths(landscape, starts, ends, keep=keep, **options)
    search = PathSearch(landscape, starts, ends, keep=keep, **options)
    while search.step < left_at:
        search.advance()
    state = search.state()
    others = {name: tensor + (name != "step") for name, tensor in state.items()}
    search.restore(others)  # the state was a copy
    for rows in (slice(0, 1), slice(1, 3)):
        part = PathSearch(landscape, starts[rows], ends[rows], keep=keep, **options)
        part.restore({name: tensor[rows] for name, tensor in state.items()})
        while part.step < 30:
            part.advance()
        assert torch.equal(part.paths().coefficients, unbroken.coefficients[rows])
        assert torch.equal(part.paths().step_losses, unbroken.step_losses[rows])


@pytest.mark.parametrize("keep", ["lowest", "last", "mean"])
def test_paths_so_far_stay_as_they_are(keep: str) -> None:
    settings = {"terms": 2, "points": 9, "penalty": 10.0, "learning_rate": 0.1, "keep": keep}
    search = PathSearch(
        FunctionLandscape(figure_3_function), START[None], END[None], steps=3, **settings
    )
    search.advance()
    so_far = search.paths()
    coefficients = so_far.coefficients.clone()
    search.advance()
    search.advance()
    assert torch.equal(so_far.coefficients, coefficients)
    assert not torch.equal(search.paths().coefficients, coefficients)
    assert so_far.step_losses.isnan().tolist() == [[False, True, True]]
    with pytest.raises(ValueError, match="all 3 steps have been made"):
        search.advance()


@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm", "function"])
def test_ends_that_ask_for_gradients_are_taken_as_they_are(name: str) -> None:
    """Such as the parameters of a module, `nn.utils.parameters_to_vector` of them."""
    if name == "function":
        landscape, ends = FunctionLandscape(figure_3_function), torch.stack([START, END])
    else:
        landscape, ends = make_objective(name), vectors_for(name, 2, seed=3)
    settings = {"terms": 2, "points": 5, "steps": 2}
    path = find_path(landscape, *ends.clone().requires_grad_(), **settings)
    assert not path.points(5).requires_grad
    assert torch.equal(path.points(5), find_path(landscape, *ends, **settings).points(5))
    assert not landscape.losses(ends.clone().requires_grad_()).requires_grad


def test_a_state_that_does_not_fit_is_refused() -> None:
    landscape, pair = FunctionLandscape(figure_3_function), torch.stack([START, END])
    options = {"terms": 1, "points": 4, "penalty": 0.0, "steps": 3, "learning_rate": 0.1}
    search = PathSearch(landscape, pair, pair.flip(0), keep="last", **options)
    state = search.state()
    with pytest.raises(ValueError, match="2 pairs"):
        search.restore({name: tensor[:1] for name, tensor in state.items()})
    with pytest.raises(ValueError, match="2 pairs"):
        search.restore({**state, "step": torch.tensor([0, 1])})
    with pytest.raises(ValueError, match="at step 4 of 3"):
        search.restore({**state, "step": torch.tensor([4, 4])})
    with pytest.raises(
        ValueError, match=r"coefficients of the state are \[2, 1, 2\], .*, here \[2, 4"
    ):
        other = PathSearch(landscape, pair, pair.flip(0), keep="last", **{**options, "terms": 4})
        other.restore(state)
    lowest = PathSearch(landscape, pair, pair.flip(0), keep="lowest", **options).state()
    for other in (state, lowest):
        with pytest.raises(ValueError, match="keep='mean'"):
            PathSearch(landscape, pair, pair.flip(0), keep="mean", **options).restore(other)
    with pytest.raises(ValueError, match=r"torch.float64, here \[2, 1, 2\], torch.float32"):
        pair = pair.float()
        PathSearch(landscape, pair, pair.flip(0), keep="last", **options).restore(state)


def test_a_finished_search_goes_on_in_one_with_more_steps() -> None:
    landscape = FunctionLandscape(figure_3_function)
    options = {"terms": 2, "points": 8, "penalty": 0.1, "learning_rate": 0.1, "keep": "lowest"}
    short, long, unbroken = (
        PathSearch(landscape, START[None], END[None], steps=steps, **options) for steps in (5, 9, 9)
    )
    for _ in range(5):
        short.advance()
    long.restore(short.state())
    for search, steps in ((long, 4), (unbroken, 9)):
        for _ in range(steps):
            search.advance()
    assert torch.equal(long.paths().coefficients, unbroken.paths().coefficients)
    assert torch.equal(long.paths().step_losses, unbroken.paths().step_losses)


@pytest.mark.parametrize("keep", ["lowest", "last", "mean"])
def test_a_path_whose_losses_are_lost_has_none(keep: str) -> None:
    """Where the function has a corner without a derivative, on the first straight line."""
    landscape = FunctionLandscape(lambda points: (points[:, 0] - 3.0).abs().sqrt())
    starts, ends = torch.tensor([[[0.0, 0.0]], [[6.0, 0.0]]])
    paths = find_paths(
        landscape, starts, ends, terms=2, points=5, steps=4, learning_rate=0.1, keep=keep
    )
    assert paths.step_losses[0].isnan().tolist() == [False, True, True, True]
    assert paths.losses(landscape, 5)[0, 1:4].isnan().all()


def test_each_step_can_have_a_landscape_of_its_own() -> None:
    """The landscape asked for at step k decides the gradient of step k."""
    asked: list[int] = []

    def landscape_at(step: int) -> FunctionLandscape:
        asked.append(step)
        factor = 1.0 if step < 2 else -1.0
        return FunctionLandscape(lambda points: factor * points.square().sum(1) + step)

    path = find_path(
        FunctionLandscape(figure_3_function),
        START,
        END,
        terms=1,
        points=4,
        steps=4,
        keep="last",
        landscape_at=landscape_at,
    )
    assert asked == [0, 1, 2, 3]
    straight = torch.stack([m / 3 * START + (1 - m / 3) * END for m in range(4)])
    assert path.step_losses[0].item() == pytest.approx(straight.square().sum().item())
    assert path.step_losses[1].item() > 4 * 1
    assert path.step_losses[2].item() < 4 * 2


def test_the_lowest_of_different_landscapes_is_refused() -> None:
    landscape = FunctionLandscape(figure_3_function)
    with pytest.raises(ValueError, match="last"):
        find_path(landscape, START, END, landscape_at=lambda step: landscape, keep="lowest")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"terms": 0}, "term"),
        ({"points": 1}, "point"),
        ({"steps": 0}, "step"),
        ({"keep": "best"}, "best"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"penalty": -1.0}, "penalty"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_path(FunctionLandscape(figure_3_function), START, END, **wrong)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.tensor([torch.nan, 0.0], dtype=torch.float64), "NaN"),
        (START.float(), "one floating-point type"),
        (START[None], "single points"),
    ],
)
def test_impossible_ends_are_refused(start: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_path(FunctionLandscape(figure_3_function), start, END)


def test_whole_numbers_are_no_ends() -> None:
    whole = torch.tensor([1, 2])
    with pytest.raises(ValueError, match="one floating-point type"):
        find_path(FunctionLandscape(figure_3_function), whole, whole)


@pytest.mark.parametrize("function", [lambda x: x.square().sum(), lambda x: x[:, :1]])
def test_a_function_of_another_shape_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    landscape, points = FunctionLandscape(function), torch.zeros(3, 2)
    for method in (landscape.losses, landscape.losses_and_gradients):
        with pytest.raises(ValueError, match=r"for points \[3, 2\]; .* here \[3\]"):
            method(points)


def test_ends_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="of equal size: solutions of one architecture"):
        find_paths(FunctionLandscape(figure_3_function), START[None], END[None, :1])
