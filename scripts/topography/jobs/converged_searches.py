"""Paths searched on until they get no lower: their heights against the effort spent on them.

100 Adam steps, as in the paper, leave a path far from the lowest one that FourierPathFinder can
find, so that its height partly measures the search. Here the search goes on, and heights are taken
each time the number of steps has doubled.

What counts now is not what the paper does but how low a path gets. So steps are larger, losses are
taken at few random points of the path instead of many fixed ones, between which it could hide a
barrier, and the path measured is the mean over the last part of the search, which the noise of
random images and points hardly reaches.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from topography.checkpoint import Checkpoint
from topography.errors import TopographyError
from topography.jobs.path_searches import PathSettings, samples
from topography.landscape import Landscape
from topography.objective import Objective
from topography.paths import Adam, LandscapeAt, Paths, path_losses_and_gradients, weight_in_mean
from topography.precision import matrix_products, product_type
from topography.progress import Progress
from topography.randomness import generator

# Of the rows that `search` returns; `pair` counts from 0 in the order of the pairs.
COLUMNS = ("pair", "terms", "steps", "start_loss", "end_loss", "height", "fine_height", "settled")

# Searched side by side in a job; more on a CPU are not faster, and the state to keep is larger.
PAIRS_AT_A_TIME = {"cpu": 1, "cuda": 50}

# A path is searched no further when less than this fraction of its first barrier is left: the noise
# of random images would keep it from ever being the same twice.
NEGLIGIBLE_BARRIER = 0.01


@dataclass(frozen=True)
class ConvergenceSettings:
    """How paths are searched on, and until when.

    first: the search up to the first measurement, and what holds for all of it: its ``steps``,
    ``points``, ``fine_points``, ``penalty``, ``images_seed`` and ``precision``; its ``keep`` is
    last or mean. terms: numbers of Fourier terms, each a search of its own. doublings: of the
    steps, at most. tolerance: a path has settled when a doubling changes its barrier by a smaller
    fraction of it. From the first measurement on, a step follows the gradient at
    ``points`` random values of t on ``images_per_step`` random images (None for all), with
    ``learning_rate``.
    """

    first: PathSettings
    terms: list[int]
    doublings: int
    tolerance: float
    points: int
    learning_rate: float
    images_per_step: int | None

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "ConvergenceSettings":
        """Settings from a JSON object. Raises TopographyError for missing or unknown names."""
        try:
            result = cls(**settings)
            return replace(result, first=PathSettings(**settings["first"]))
        except TypeError as error:
            raise TopographyError(f"--settings {settings}: {error}") from error

    @property
    def most_steps(self) -> int:
        """Steps after which a search ends, settled or not."""
        return self.first.steps * 2**self.doublings

    @property
    def measured_at(self) -> list[int]:
        """Steps after which a path is measured."""
        return [self.first.steps * 2**doubling for doubling in range(self.doublings + 1)]

    def goes_on(self, step: int) -> bool:
        """Whether a step, counted from 0, is one after the first measurement."""
        return step >= self.first.steps

    def losses_at(self, step: int) -> Tensor | None:
        """Values of t [points] of a step: one in each of so many equal parts of the path, all
        moved by the same random number. None up to the first measurement."""
        if not self.goes_on(step):
            return None
        stream = generator(self.first.images_seed, f"path points/step {step}")
        shift = torch.rand(1, generator=stream, dtype=torch.float64)
        return (torch.arange(self.points, dtype=torch.float64) + shift) / self.points

    def weight_in_mean(self, step: int) -> float:
        """What a step, counted from 0, weighs in the path to be measured, beside all before it.

        The mean begins anew after the first measurement.
        """
        if self.goes_on(step):
            return weight_in_mean(step - self.first.steps)
        return weight_in_mean(step) if self.first.keep == "mean" else 1.0


def landscapes(landscape: Objective, settings: ConvergenceSettings) -> LandscapeAt:
    """The landscape of each step: random images, as many as its part of the search has."""
    seed = settings.first.images_seed
    first, later = (
        samples(landscape, count, seed)
        for count in (settings.first.images_per_step, settings.images_per_step)
    )

    def at(step: int) -> Landscape:
        sample = later if settings.goes_on(step) else first
        return landscape if sample is None else sample(step)

    return at


def settled(
    first: Tensor, lowest: Tensor, previous: Tensor, now: Tensor, tolerance: float
) -> Tensor:
    """Which paths [S] have no barrier worth the name, or one that a doubling hardly changed.

    Hardly is by less than a fraction, `tolerance`, of the barrier before the doubling and of the
    lowest one so far: a path far above that is still shaken by larger steps. Not worth the name is
    less than `NEGLIGIBLE_BARRIER` of the first one. Barriers are heights above the higher end: a
    height that is nearly that of the end would hide how fast what is left still falls.

    first, lowest, previous: barriers at the first measurement, the lowest so far and the last one,
    infinite if there are none; now: barriers.
    """
    unchanged = [(before - now).abs() < tolerance * before for before in (lowest, previous)]
    return (now <= NEGLIGIBLE_BARRIER * first) | (unchanged[0] & unchanged[1])


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

    A path is measured after the first steps and after each doubling of them, until it has settled
    or the doublings are used up. Pairs do not interact, and all see the same images and values of t
    at the same step, so that batches change no path.

    Args:
        landscape: gives the heights.
        landscape_at: gives the gradients of a step instead (see `landscapes`).
        checkpoint: keeps the state between two steps.

    Returns:
        Rows with the columns ``COLUMNS``, one per pair, number of terms and measurement.
    """
    count = len(pairs)
    searches = len(settings.terms) * count
    rows, begun, paths = np.empty((0, len(COLUMNS))), 0, None
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        tensors, notes = saved
        rows, begun = tensors.pop("rows"), int(notes["begun"])
        paths = _Unsettled.restored(weights, pairs, tensors)
    while paths is not None or begun < searches:
        if paths is None:
            first = begun % count
            numbers = torch.arange(first, min(first + pairs_per_batch, count))
            paths = _Unsettled(weights, pairs, numbers, settings.terms[begun // count])
            begun += len(numbers)
        while len(paths.numbers) and paths.step < settings.most_steps:
            at = landscape if landscape_at is None else landscape_at(paths.step)
            with matrix_products(product_type(settings.first.precision, weights.device)):
                paths.advance(at, settings)
            if paths.step in settings.measured_at:
                rows = np.concatenate([rows, paths.measure(landscape, settings)])
            if progress is not None:
                left = len(paths.numbers) * (settings.most_steps - paths.step)
                progress.update(
                    begun * settings.most_steps - left, f"{paths.terms} terms, step {paths.step}"
                )
            if checkpoint is not None and len(paths.numbers):
                checkpoint.offer(partial(_state, paths, rows, begun))
        paths = None
    return rows


def named(rows: np.ndarray, pairs: np.ndarray, numbers: np.ndarray) -> pd.DataFrame:
    """What `search` returns as a table, sorted, with the networks that each path joins.

    Args:
        rows: of `search`, whose ``pair`` counts the pairs searched.
        pairs: those pairs [S, 2], as networks of the set.
        numbers: [S], their rows in the file of pairs, which become ``pair``.
    """
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table = table.astype({name: int for name in ("pair", "terms", "steps", "settled")})
    table = table.sort_values(["terms", "pair", "steps"], ignore_index=True)
    searched = table["pair"].to_numpy()
    table["pair"] = numbers[searched]
    table.insert(1, "i", pairs[searched, 0])
    table.insert(2, "j", pairs[searched, 1])
    return table


def _state(
    paths: "_Unsettled", rows: np.ndarray, begun: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """State of a checkpoint: tensors and notes.

    begun: how many searches, of one pair with one number of terms, have been; those of the first
    number come first. Not a number of batches: a job may go on with batches of another size.
    """
    return {**paths.state(), "rows": rows}, {"begun": str(begun)}


class _Unsettled:
    """Paths of one number of terms that are searched side by side until they have settled."""

    def __init__(self, weights: Tensor, pairs: Tensor, numbers: Tensor, terms: int) -> None:
        """numbers: [A], rows of pairs."""
        self.numbers = numbers
        self.terms = terms
        self.starts, self.ends = weights[pairs[numbers, 0]], weights[pairs[numbers, 1]]
        self.adam = Adam(weights.new_zeros(len(numbers), terms, weights.shape[1]), 0.0)
        self.mean = self.adam.values.clone()  # what is measured
        self.first = torch.full((len(numbers),), torch.inf, dtype=torch.float64)
        self.lowest, self.previous = self.first.clone(), self.first.clone()

    @property
    def step(self) -> int:
        """Steps made."""
        return self.adam.steps

    def advance(self, landscape: Landscape, settings: ConvergenceSettings) -> None:
        """One Adam step of all paths."""
        _, gradients = path_losses_and_gradients(
            landscape,
            self.starts,
            self.ends,
            self.adam.values,
            settings.first.points,
            settings.first.penalty,
            settings.losses_at(self.step),
        )
        part = settings if settings.goes_on(self.step) else settings.first
        self.adam.learning_rate = part.learning_rate
        weight = settings.weight_in_mean(self.step)
        self.adam.step(gradients)
        self.mean.lerp_(self.adam.values, weight)

    def measure(self, landscape: Landscape, settings: ConvergenceSettings) -> np.ndarray:
        """Rows [A, columns] of the paths, of which those that have settled then leave."""
        nothing = self.lowest.new_empty(len(self.numbers), 0)
        paths = Paths(self.starts, self.ends, self.mean, nothing)
        first = settings.first
        grids = paths.losses_on_grids(landscape, first.points, first.fine_points)
        losses, fine = (grid.cpu() for grid in grids)
        heights = fine.amax(dim=1)
        effort = torch.tensor([self.terms, self.step]).expand(len(losses), 2)
        barriers = heights - torch.maximum(fine[:, 0], fine[:, -1])
        if self.step == first.steps:
            self.first = barriers
        finished = settled(self.first, self.lowest, self.previous, barriers, settings.tolerance)
        rows = torch.column_stack(
            # the start is at t = 1, the last point
            [self.numbers, effort, fine[:, -1], fine[:, 0], losses.amax(dim=1), heights, finished]
        )
        self.lowest, self.previous = torch.minimum(self.lowest, barriers), barriers
        self._keep((~finished).nonzero()[:, 0])
        return rows.numpy()

    def _keep(self, chosen: Tensor) -> None:
        self.numbers, self.first, self.lowest, self.previous = (
            of_each[chosen] for of_each in (self.numbers, self.first, self.lowest, self.previous)
        )
        chosen = chosen.to(self.starts.device)
        self.starts, self.ends = self.starts[chosen], self.ends[chosen]
        self._set_coefficients({name: t[chosen] for name, t in self._coefficients().items()})

    def _coefficients(self) -> dict[str, Tensor]:
        """What there is of the shape of the coefficients, [A, N, P]."""
        adam = self.adam
        return {
            "values": adam.values,
            "gradient_mean": adam.mean,
            "gradient_square": adam.square,
            "mean": self.mean,
        }

    def _set_coefficients(self, tensors: dict[str, Tensor]) -> None:
        self.adam.values, self.mean = tensors["values"], tensors["mean"]
        self.adam.mean, self.adam.square = tensors["gradient_mean"], tensors["gradient_square"]

    def state(self) -> dict[str, np.ndarray]:
        """What `restored` needs to go on from here."""
        return {
            "numbers": self.numbers.numpy(),
            "first": self.first.numpy(),
            "lowest": self.lowest.numpy(),
            "previous": self.previous.numpy(),
            "step": np.array([self.step]),
            **{name: tensor.cpu().numpy() for name, tensor in self._coefficients().items()},
        }

    @classmethod
    def restored(cls, weights: Tensor, pairs: Tensor, state: dict[str, np.ndarray]) -> "_Unsettled":
        """The paths between the same networks that gave this `state`."""
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        paths = cls(weights, pairs, tensors["numbers"], tensors["values"].shape[1])
        paths.first = tensors["first"]
        paths.lowest, paths.previous = tensors["lowest"], tensors["previous"]
        paths.adam.steps = int(tensors["step"])
        paths._set_coefficients(
            {name: tensors[name].to(weights.device) for name in paths._coefficients()}
        )
        return paths
