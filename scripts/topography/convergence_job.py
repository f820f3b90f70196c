"""Paths searched on until they get no lower: their heights against the effort spent on them.

100 Adam steps, as in the paper, leave a path far from the lowest one that FourierPathFinder can
find, so that its height partly measures the search. Here the search goes on, and heights are taken
each time the number of steps has doubled.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from topography.checkpoint import Checkpoint
from topography.errors import TopographyError
from topography.landscape import Landscape
from topography.paths import Adam, LandscapeAt, Paths, path_losses_and_gradients
from topography.precision import matrix_products, product_type
from topography.progress import Progress

# Of the rows that `search` returns; `pair` counts from 0 in the order of the pairs.
COLUMNS = ("pair", "terms", "steps", "start_loss", "end_loss", "height", "fine_height", "settled")
ADAM_TENSORS = ("values", "mean", "square")


@dataclass(frozen=True)
class ConvergenceSettings:
    """How far paths are searched, and where they are measured.

    terms: numbers of Fourier terms, each a search of its own. steps: to the first measurement.
    doublings: of the steps, at most. tolerance: a path has settled when a doubling lowers its
    barrier by a smaller fraction. Others as in `topography.path_job.PathSettings`.
    """

    terms: list[int]
    steps: int
    doublings: int
    tolerance: float
    points: int
    fine_points: int
    penalty: float
    learning_rate: float
    images_per_step: int | None
    images_seed: int
    precision: str

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "ConvergenceSettings":
        """Settings from a JSON object. Raises TopographyError for missing or unknown names."""
        try:
            return cls(**settings)
        except TypeError as error:
            raise TopographyError(f"--settings {settings}: {error}") from error

    @property
    def most_steps(self) -> int:
        """Steps after which a search ends, settled or not."""
        return self.steps * 2**self.doublings

    @property
    def measured_at(self) -> list[int]:
        """Steps after which a path is measured."""
        return [self.steps * 2**doubling for doubling in range(self.doublings + 1)]

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0.

        Constant up to the first measurement, then falling as one over the square root of the steps:
        the noise of gradients on samples of images would otherwise keep paths from settling.
        """
        return self.learning_rate * min(1.0, math.sqrt(self.steps / (step + 1)))


def settled(lowest: Tensor, now: Tensor, tolerance: float) -> Tensor:
    """Which paths [S] have no barrier, or one that a doubling lowered by less than a fraction.

    Barriers are heights above the higher end: a height that is nearly that of the end would hide
    how fast what is left still falls.

    lowest: of the barriers measured before, infinite if there are none; now: barriers.
    """
    return (now <= 0.0) | (now > (1.0 - tolerance) * lowest)


def search(
    landscape: Landscape,
    weights: Tensor,
    pairs: Tensor,
    settings: ConvergenceSettings,
    *,
    landscape_at: LandscapeAt | None = None,
    pairs_per_batch: int = 1,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Heights of paths between networks of weights [n, P], named by pairs [S, 2], as they fall.

    A path is measured after ``steps`` steps and after each doubling of them, until it has settled
    or the doublings are used up. Pairs do not interact, and all see the same images at the same
    step, so that batches change no path.

    Args:
        landscape: gives the heights.
        landscape_at: gives the gradients of a step, as for `topography.paths.find_paths`.
        checkpoint: keeps the state between two steps.

    Returns:
        Rows with the columns ``COLUMNS``, one per pair, number of terms and measurement.
    """
    units = [
        (terms, numbers)
        for terms in settings.terms
        for numbers in torch.arange(len(pairs)).split(pairs_per_batch)
    ]
    rows, unit, resumed = np.empty((0, len(COLUMNS))), 0, None
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        resumed, notes = saved
        rows, unit = resumed.pop("rows"), int(notes["unit"])
    while unit < len(units):
        terms, numbers = units[unit]
        before = sum(len(those) for _, those in units[:unit])
        if resumed is not None:
            numbers = torch.from_numpy(resumed["numbers"])
        paths = _Unsettled(weights, pairs, numbers, terms)
        if resumed is not None:
            paths.restore(resumed)
            resumed = None
        while len(paths.numbers) and paths.step < settings.most_steps:
            at = landscape if landscape_at is None else landscape_at(paths.step)
            with matrix_products(product_type(settings.precision, weights.device)):
                paths.advance(at, settings)
            if paths.step in settings.measured_at:
                rows = np.concatenate([rows, paths.measure(landscape, settings)])
            if progress is not None:
                done = before * settings.most_steps + paths.step * len(units[unit][1])
                progress.update(done, f"{terms} terms, step {paths.step}")
            if checkpoint is not None and len(paths.numbers):
                checkpoint.offer(partial(_state, paths, rows, unit))
        unit += 1
    return rows


def _state(
    paths: "_Unsettled", rows: np.ndarray, unit: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """State of a checkpoint: tensors and notes."""
    return {**paths.state(), "rows": rows}, {"unit": str(unit)}


class _Unsettled:
    """Paths of one number of terms that are searched side by side until they have settled."""

    def __init__(self, weights: Tensor, pairs: Tensor, numbers: Tensor, terms: int) -> None:
        """numbers: [A], rows of pairs."""
        self.numbers = numbers
        self.starts, self.ends = weights[pairs[numbers, 0]], weights[pairs[numbers, 1]]
        self.adam = Adam(weights.new_zeros(len(numbers), terms, weights.shape[1]), 0.0)
        self.lowest = torch.full((len(numbers),), torch.inf, dtype=torch.float64)

    @property
    def step(self) -> int:
        """Steps made."""
        return self.adam.steps

    def advance(self, landscape: Landscape, settings: ConvergenceSettings) -> None:
        """One Adam step of all paths."""
        _, gradients = path_losses_and_gradients(
            landscape, self.starts, self.ends, self.adam.values, settings.points, settings.penalty
        )
        self.adam.learning_rate = settings.rate(self.step)
        self.adam.step(gradients)

    def measure(self, landscape: Landscape, settings: ConvergenceSettings) -> np.ndarray:
        """Rows [A, columns] of the paths, of which those that have settled then leave."""
        nothing = self.lowest.new_empty(len(self.numbers), 0)
        paths = Paths(self.starts, self.ends, self.adam.values, nothing)
        grids = paths.losses_on_grids(landscape, settings.points, settings.fine_points)
        losses, fine = (grid.cpu() for grid in grids)
        heights = fine.amax(dim=1)
        effort = torch.tensor([self.adam.values.shape[1], self.step]).expand(len(losses), 2)
        barriers = heights - torch.maximum(fine[:, 0], fine[:, -1])
        finished = settled(self.lowest, barriers, settings.tolerance)
        rows = torch.column_stack(
            # the start is at t = 1, the last point
            [self.numbers, effort, fine[:, -1], fine[:, 0], losses.amax(dim=1), heights, finished]
        )
        self.lowest = torch.minimum(self.lowest, barriers)
        self._keep((~finished).nonzero()[:, 0])
        return rows.numpy()

    def _keep(self, chosen: Tensor) -> None:
        self.numbers, self.lowest = self.numbers[chosen], self.lowest[chosen]
        chosen = chosen.to(self.starts.device)
        self.starts, self.ends = self.starts[chosen], self.ends[chosen]
        for name in ADAM_TENSORS:
            setattr(self.adam, name, getattr(self.adam, name)[chosen])

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on from here."""
        return {
            "numbers": self.numbers.numpy(),
            "lowest": self.lowest.numpy(),
            "step": np.array([self.step]),
            **{name: getattr(self.adam, name).cpu().numpy() for name in ADAM_TENSORS},
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave for the same paths."""
        self.lowest = torch.from_numpy(state["lowest"])
        self.adam.steps = int(state["step"][0])
        for name in ADAM_TENSORS:
            setattr(self.adam, name, torch.from_numpy(state[name]).to(self.starts.device))
