"""Paths searched on: known valleys, the stopping rule, and the same numbers however it is run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from topography import checkpoint
from topography.architectures import get_architecture
from topography.errors import TopographyError
from topography.jobs import converged_searches
from topography.landscape import FunctionLandscape, Landscape
from topography.objective import Objective
from topography.paths import find_paths

SADDLE = 0.3
ENDS = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
PAIRS = torch.tensor([[0, 1], [1, 2]])
THREE = torch.tensor([[0, 1], [1, 2], [0, 2]])


def curved_valley(points: Tensor) -> Tensor:
    """Two minima of 0 at the ENDS, joined by a valley along y = 1 - x^2 with its top at SADDLE."""
    x, y = points.T
    floor = 1 - x.square()
    return (y - floor).square() + SADDLE * floor.square()


FIRST = {
    "terms": 4,
    "points": 21,
    "fine_points": 81,
    "penalty": 0.0,
    "steps": 10,
    "learning_rate": 0.02,
    "keep": "last",
    "images_per_step": None,
    "images_seed": 0,
    "precision": "exact",
}


def settings(first=None, **changes) -> converged_searches.ConvergenceSettings:
    given = {
        "first": {**FIRST, **(first or {})},
        "terms": [2, 4],
        "doublings": 6,
        "tolerance": 0.01,
        "points": 7,
        "learning_rate": 0.02,
        "images_per_step": None,
    }
    return converged_searches.ConvergenceSettings.from_json({**given, **changes})


def searched(landscape: Landscape, chosen=None, pairs: Tensor = PAIRS, **more) -> pd.DataFrame:
    rows = converged_searches.search(landscape, ENDS, pairs, chosen or settings(), **more)
    table = pd.DataFrame(rows, columns=list(converged_searches.COLUMNS))
    return table.sort_values(["terms", "pair", "steps"], ignore_index=True)


def test_rows_name_the_networks_and_the_pair_as_their_file_counts():
    numbers = np.array([0, 5, 1])  # of six pairs of four networks, those that share the fewest
    pairs = np.array([[0, 1], [2, 3], [0, 2]])
    rows = np.array(
        [[1, 4, 10, 0, 0, 0, 7, 1], [0, 4, 20, 0, 0, 0, 6, 0], [0, 4, 10, 0, 0, 0, 8, 0]]
    )
    table = converged_searches.named(rows, pairs, numbers)
    assert table[["pair", "i", "j", "steps", "fine_height"]].to_numpy().tolist() == [
        [0, 0, 1, 10, 8],
        [0, 0, 1, 20, 6],
        [5, 2, 3, 10, 7],
    ]


def test_paths_sink_into_a_valley_of_known_height():
    table = searched(FunctionLandscape(curved_valley), pairs=PAIRS[:1])
    for _, search in table.groupby("terms"):
        assert search["fine_height"].iloc[0] > 2 * SADDLE  # not there at the first measurement
        assert search["fine_height"].iloc[-1] == pytest.approx(SADDLE, rel=0.01)
        assert search["steps"].iloc[-1] < 640  # settled before the doublings were used up
    # No path crosses lower than the saddle, but for what lies between two points.
    assert table["fine_height"].min() > 0.999 * SADDLE
    np.testing.assert_allclose(table[["start_loss", "end_loss"]], 0, atol=1e-12)


@pytest.mark.parametrize("keep", ["last", "mean"])
def test_the_first_measurement_is_the_path_of_find_paths(keep: str):
    landscape = FunctionLandscape(curved_valley)
    same = {name: FIRST[name] for name in ("terms", "points", "steps", "learning_rate")}
    paths = find_paths(landscape, ENDS[:1], ENDS[1:2], penalty=0.5, keep=keep, **same)
    first = searched(landscape, settings({"penalty": 0.5, "keep": keep}, terms=[4])).iloc[0]
    assert first["steps"] == 10
    assert first["height"] == paths.losses(landscape, 21).max().item()
    assert first["fine_height"] == paths.losses(landscape, 81).max().item()


def test_start_and_end_are_those_of_the_pair():
    tilted = FunctionLandscape(lambda points: points[:, 0] + 2)
    table = searched(tilted, settings(terms=[1], doublings=1)).groupby("pair").first()
    assert table["start_loss"].tolist() == pytest.approx([1, 3])
    assert table["end_loss"].tolist() == pytest.approx([3, 1])


@pytest.mark.parametrize(("third", "settles"), [(0.504, True), (0.8, False)])
def test_a_barrier_that_came_back_up_has_not_settled(third: float, settles: bool):
    """Barriers change from measurement to measurement, and the last doubling changes nothing."""
    levels, steps = {10: 1.0, 20: 0.5, 40: third, 80: third, 160: 0.4}, []
    flat = FunctionLandscape(lambda points: 0.0 * points[:, 0])

    def at(step: int) -> Landscape:
        steps.append(step)
        return flat

    def hill(points: Tensor) -> Tensor:
        return levels[steps[-1] + 1] * (1 - points[:, 0].square()).clamp(min=0.0)

    ends = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    rows = converged_searches.search(
        FunctionLandscape(hill),
        ends,
        torch.tensor([[0, 1]]),
        settings(terms=[2], doublings=4, tolerance=0.01),
        landscape_at=at,
    )
    table = pd.DataFrame(rows, columns=list(converged_searches.COLUMNS))
    assert table["fine_height"].tolist() == pytest.approx([*levels.values()][: len(table)])
    assert table["steps"].iloc[-1] == (40 if settles else 160)


def test_the_mean_forgets_all_but_the_last_part_of_the_search():
    """Step n of N counts as n^8 within the accuracy of 1 / N, from the first measurement on."""
    chosen, last = settings({"keep": "mean"}), 409
    counts = np.zeros(last + 1)
    for step in range(last + 1):
        weight = chosen.weight_in_mean(step)
        counts *= 1 - weight
        counts[step] = weight
    assert counts.sum() == pytest.approx(1)
    assert not counts[:10].any()  # those of the first measurement
    expected = np.arange(1.0, 401) ** 8
    np.testing.assert_allclose(counts[210:], (expected / expected.sum())[200:], rtol=0.15)
    assert counts[-100:].sum() > 0.9


def test_noise_shakes_the_path_of_a_step_and_hardly_the_mean_that_is_measured():
    """Both ends at the minimum of a bowl in one dimension: all heights are noise."""
    noise = torch.Generator().manual_seed(3)
    bowl = FunctionLandscape(lambda points: points[:, 0].square())

    class Noisy(FunctionLandscape):
        def losses_and_gradients(self, points: Tensor):
            losses, gradients = super().losses_and_gradients(points)
            kick = torch.randn(gradients.shape, generator=noise, dtype=torch.float64)
            return losses, gradients + kick

    paths, first = 20, {"steps": 1000, "learning_rate": 0.1}
    rows = converged_searches.search(
        bowl,
        torch.zeros(2, 1, dtype=torch.float64),
        PAIRS[:1].expand(paths, 2),
        settings(first, learning_rate=0.1, terms=[2], doublings=1),
        landscape_at=lambda step: Noisy(bowl.function),
        pairs_per_batch=paths,
    )
    heights = rows[:, converged_searches.COLUMNS.index("height")]
    assert heights[paths:].mean() < 0.1 * heights[:paths].mean()


def test_losses_are_taken_in_every_part_of_the_path_and_nowhere_twice():
    chosen = settings()
    assert chosen.measured_at == [10, 20, 40, 80, 160, 320, 640]
    assert chosen.losses_at(9) is None  # of the first measurement
    drawn = torch.stack([chosen.losses_at(step) for step in range(10, 210)])
    assert drawn.shape == (200, 7)
    parts = (drawn * 7).floor()
    torch.testing.assert_close(parts, torch.arange(7.0).double().expand(200, 7))
    assert drawn.unique().numel() == drawn.numel()
    torch.testing.assert_close(
        drawn.mean(0) * 7 % 1, torch.full((7,), 0.5).double(), atol=0.1, rtol=0
    )
    assert torch.equal(chosen.losses_at(10), settings().losses_at(10))
    other = settings({"images_seed": 1})
    assert not torch.equal(chosen.losses_at(10), other.losses_at(10))


def test_random_images_are_those_of_the_part_of_the_search():
    images = torch.rand(40, 784, generator=torch.Generator().manual_seed(0))
    objective = Objective(get_architecture("fcp"), images, torch.zeros(40, dtype=torch.int64))
    at = converged_searches.landscapes(
        objective, settings({"images_per_step": 5}, images_per_step=8)
    )
    assert [at(step).count for step in (0, 9, 10, 11)] == [5, 5, 8, 8]
    at = converged_searches.landscapes(objective, settings(images_per_step=8))
    assert at(0) is objective and at(10).count == 8


def test_a_path_has_settled_when_a_doubling_hardly_changes_its_barrier():
    lowest = torch.tensor([torch.inf, 1.0, 1.0, 1.0, 1.0, 1.0])
    now = torch.tensor([5.0, 0.94, 0.96, 1.0, 1.04, 1.06])
    found = converged_searches.settled(torch.full((6,), 9.0), lowest, lowest, now, 0.05)
    assert found.tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize(("previous", "now"), [(2.6, 1.02), (2.0, 2.02)])
def test_a_path_that_rose_has_settled_neither_on_its_way_back_nor_above(
    previous: float, now: float
):
    barriers = [torch.tensor([value]) for value in (9.0, 1.0, previous, now)]
    assert not converged_searches.settled(*barriers, 0.05).any()


def test_a_path_has_settled_when_a_hundredth_of_its_first_barrier_is_left():
    first, lowest = torch.full((2,), 2.0), torch.full((2,), 1.0)
    found = converged_searches.settled(first, lowest, lowest, torch.tensor([0.019, 0.021]), 0.05)
    assert found.tolist() == [True, False]


def test_a_path_without_a_barrier_has_settled_at_once():
    now, none = torch.tensor([0.0, 1e-9]), torch.full((2,), torch.inf)
    found = converged_searches.settled(now, none, none, now, 0.05)
    assert found.tolist() == [True, False]


def test_a_small_barrier_between_high_ends_counts_by_itself():
    """The height falls by 4 in 1000, the barrier by far more: the search goes on."""
    raised = FunctionLandscape(lambda points: curved_valley(points) + 100)
    pd.testing.assert_series_equal(
        searched(raised)["steps"], searched(FunctionLandscape(curved_valley))["steps"]
    )


def test_only_the_last_measurement_of_a_search_has_settled_or_used_up_the_doublings():
    """On a landscape where one pair settles at once and the other keeps falling."""
    ends = torch.tensor([[0.0, 0.0], [0.0, 3.0], [8.0, 0.0], [8.0, 3.0]], dtype=torch.float64)

    def steps_and_slopes(points: Tensor) -> Tensor:
        hill = 1 + (points[:, 1] * (3 - points[:, 1])).clamp(min=0)
        return torch.where(points[:, 0] < 4, torch.ones(()), hill / (1 + points[:, 0].abs()))

    pairs = torch.tensor([[0, 1], [2, 3]])
    rows = converged_searches.search(
        FunctionLandscape(lambda points: steps_and_slopes(points) + 0 * points.sum(1)),
        ends,
        pairs,
        settings({"learning_rate": 0.5}, terms=[2], doublings=3, learning_rate=0.5),
        pairs_per_batch=2,
    )
    table = pd.DataFrame(rows, columns=list(converged_searches.COLUMNS))
    assert table.groupby("pair")["steps"].max().tolist() == [10, 80]
    assert table.groupby("pair")["settled"].last().tolist() == [1, 0]


def test_batches_change_nothing():
    landscape = FunctionLandscape(curved_valley)
    pd.testing.assert_frame_equal(
        searched(landscape, pairs_per_batch=1), searched(landscape, pairs_per_batch=2), rtol=1e-12
    )


@pytest.mark.parametrize("calls", [3, 15, 33])
@pytest.mark.parametrize(("batch", "batch_after"), [(1, 1), (1, 3), (3, 1), (2, 3)])
def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, calls: int, batch: int, batch_after: int
):
    """Also with batches of another size, as on another device."""

    class Failing(FunctionLandscape):
        left = calls

        def losses_and_gradients(self, points: Tensor):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().losses_and_gradients(points)

    chosen = settings(doublings=1)
    file = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        place = checkpoint.Checkpoint(file, "me", interval=0.0)
        searched(Failing(curved_valley), chosen, THREE, checkpoint=place, pairs_per_batch=batch)
    place = checkpoint.Checkpoint(file, "me")
    steps: list[int] = []

    def landscape_at(step: int) -> Landscape:
        steps.append(step)
        return FunctionLandscape(curved_valley)

    landscape = FunctionLandscape(curved_valley)
    resumed = searched(
        landscape,
        chosen,
        THREE,
        landscape_at=landscape_at,
        checkpoint=place,
        pairs_per_batch=batch_after,
    )
    pd.testing.assert_frame_equal(resumed, searched(landscape, chosen, THREE), rtol=1e-12)
    assert steps[0] > 0  # it did not begin anew


def test_wrong_settings_are_refused():
    with pytest.raises(TopographyError, match=r"--settings .*missing"):
        converged_searches.ConvergenceSettings.from_json({"terms": [1]})
    with pytest.raises(TopographyError, match=r"--settings .*pace"):
        settings({"pace": 3})
