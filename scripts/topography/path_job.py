"""Paths between many pairs of networks: batches that fit the memory, measurements, resumption."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from topography.checkpoint import Checkpoint
from topography.device import is_out_of_memory
from topography.errors import TopographyError
from topography.objective import Objective
from topography.paths import LandscapeAt, find_paths
from topography.precision import matrix_products, product_type
from topography.progress import Progress
from topography.randomness import generator
from topography.storage import read_table, read_tensors


@dataclass(frozen=True)
class PathSettings:
    """How paths are searched (see `find_paths`) and measured.

    fine_points: points of the grid on which finished paths are measured. images_per_step: random
    images drawn afresh for each step, None for all; images_seed: of these draws. precision: of the
    search (see `topography.precision`). Losses of finished paths are always over all images, in
    float32.
    """

    terms: int
    points: int
    fine_points: int
    penalty: float
    steps: int
    learning_rate: float
    keep: str
    images_per_step: int | None
    images_seed: int
    precision: str

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "PathSettings":
        """Settings from a JSON object. Raises TopographyError for missing or unknown names."""
        try:
            return cls(**settings)
        except TypeError as error:
            raise TopographyError(f"--path-settings {settings}: {error}") from error


def read_weights(path: Path, parameters: int) -> Tensor:
    """Weight vectors [n, P] of a set; StorageError if P differs or a value is not finite."""
    tensors = read_tensors(path, shapes={"weights": [None, parameters]}, finite=["weights"])
    return torch.from_numpy(tensors["weights"])


def read_pairs(path: Path, first: int, last: int, networks: int) -> Tensor:
    """Rows first to last (inclusive) of a pairs file, [S, 2], as indices of networks.

    Raises:
        TopographyError: there are fewer rows, or a row names a network that is not there.
    """
    table = read_table(path, columns=["i", "j"])
    if not 0 <= first <= last < len(table):
        raise TopographyError(
            f"{path} has rows 0 to {len(table) - 1}, but {first} to {last} are asked for. "
            "Ask for fewer pairs (pairs.count) or keep more runs (selection.keep)."
        )
    pairs = torch.from_numpy(table.loc[first:last, ["i", "j"]].to_numpy().copy())
    if pairs.min() < 0 or pairs.max() >= networks:
        raise TopographyError(
            f"{path} names network {pairs.max()}, but the set has {networks}. "
            "The two files belong to different selections: remake the pairs file."
        )
    return pairs


def find_and_measure(
    landscape: Objective,
    weights: Tensor,
    pairs: Tensor,
    settings: PathSettings,
    pairs_per_batch: int,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Paths between networks of weights [n, P], named by pairs [S, 2], and their measurements.

    Batches run one after another; when one does not fit the memory it is halved and tried again.
    Batching never changes a path: pairs do not interact, and all of them see the same images at the
    same step.

    Returns, on the CPU: pairs [S, 2], coefficients [S, N, P], losses [S, points], fine_losses [S,
    fine_points], straight_losses [S, points], step_losses [S, steps], lengths [S] and
    straight_lengths [S].
    """
    done: dict[str, Tensor] = {}
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        done = {name: torch.from_numpy(array) for name, array in saved[0].items()}
    finished = len(done["pairs"]) if done else 0
    while finished < len(pairs):
        batch = pairs[finished : finished + pairs_per_batch]
        try:
            measured = _batch(landscape, weights, batch, settings, finished, progress)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
            pairs_per_batch = len(batch) // 2
            print(f"out of memory: going on with {pairs_per_batch} at a time", file=sys.stderr)
            torch.cuda.empty_cache()
            continue
        done = {
            name: torch.cat([done[name], tensor]) if done else tensor
            for name, tensor in measured.items()
        }
        finished += len(batch)
        if checkpoint is not None and finished < len(pairs):
            checkpoint.offer(partial(_as_arrays, done))
    return done


def _as_arrays(done: dict[str, Tensor]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """State of a checkpoint: what is measured so far, and no notes."""
    return {name: tensor.numpy() for name, tensor in done.items()}, {}


def _batch(
    landscape: Objective,
    weights: Tensor,
    pairs: Tensor,
    settings: PathSettings,
    finished: int,
    progress: Progress | None,
) -> dict[str, Tensor]:
    def report(step: int, mean_loss: Tensor) -> None:
        if progress is not None:
            done = finished * settings.steps + (step + 1) * len(pairs)
            mean = mean_loss.item() / settings.points
            progress.update(done, f"step {step + 1}, mean loss along the paths {mean:.3e}")

    with matrix_products(product_type(settings.precision, weights.device)):
        paths = find_paths(
            landscape,
            weights[pairs[:, 0]],
            weights[pairs[:, 1]],
            terms=settings.terms,
            points=settings.points,
            penalty=settings.penalty,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            keep=settings.keep,
            landscape_at=samples(landscape, settings.images_per_step, settings.images_seed),
            on_step=report,
        )
    if progress is not None:
        progress.note(f"measuring {len(pairs)} paths on {landscape.count} images")
    losses, fine_losses = paths.losses_on_grids(landscape, settings.points, settings.fine_points)
    straight = paths.straight()
    measured = {
        "pairs": pairs,
        "coefficients": paths.coefficients,
        "losses": losses,
        "fine_losses": fine_losses,
        "straight_losses": straight.losses(landscape, settings.points),
        "step_losses": paths.step_losses,
        "lengths": paths.lengths(settings.fine_points),
        "straight_lengths": straight.lengths(2),
    }
    return {name: tensor.cpu() for name, tensor in measured.items()}


def samples(landscape: Objective, count: int | None, seed: int) -> LandscapeAt | None:
    """Landscapes of `count` images drawn afresh for each step; None for all images."""

    def sample(step: int) -> Objective:
        order = torch.randperm(
            landscape.count, generator=generator(seed, f"path images/step {step}")
        )
        return landscape.subset(order[:count].to(landscape.images.device))

    return None if count is None else sample
