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
from topography.paths import LandscapeAt, PathSearch
from topography.precision import matrix_products, product_type
from topography.progress import Progress
from topography.randomness import generator
from topography.storage import read_table, read_tensors

PAIRS_AT_A_TIME = {"cpu": 4, "cuda": 50}  # searched side by side in a job
Rows = dict[str, Tensor]  # a row per pair, [S, ...]; empty where there are no pairs


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


def read_pairs(path: Path, first: int, last: int | None, networks: int) -> Tensor:
    """Rows first to last (inclusive; None: the last there is) of a pairs file, [S, 2], as indices
    of networks.

    Raises:
        TopographyError: there are fewer rows, or a row names a network that is not there.
    """
    table = read_table(path, columns=["i", "j"])
    last = len(table) - 1 if last is None else last
    if not 0 <= first <= last < len(table):
        raise TopographyError(
            f"{path} has rows 0 to {len(table) - 1}, but {first} to {last} are asked for. "
            "Ask for fewer pairs (pairs.count) or keep more runs (selection.keep)."
        )
    pairs = torch.from_numpy(table.loc[first:last, ["i", "j"]].to_numpy().copy())
    unknown = pairs[(pairs < 0) | (pairs >= networks)]
    if len(unknown):
        raise TopographyError(
            f"{path} names network {unknown[0]}, but the set has 0 to {networks - 1}. "
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
) -> Rows:
    """Paths between networks of weights [n, P], named by pairs [S, 2], and their measurements.

    Batches run one after another; when one does not fit the memory it is halved and tried again.
    Batching never changes a path: pairs do not interact, and all of them see the same images at the
    same step. So a search that was left between two steps goes on in batches of any size.

    Returns, on the CPU: pairs [S, 2], coefficients [S, N, P], losses [S, points], fine_losses [S,
    fine_points], straight_losses [S, points], step_losses [S, steps], lengths [S] and
    straight_lengths [S].
    """
    job = _Job(landscape, weights, settings, checkpoint, progress)
    # In the order of the pairs: those that are measured, and after them those that are begun.
    measured, begun = _resumed(checkpoint)
    finished = _count(measured)
    while finished < len(pairs):
        if begun:
            batch, later = _next_batch(begun, pairs_per_batch)
        else:
            batch, later = {"pairs": pairs[finished : finished + pairs_per_batch]}, {}
        out_of_memory = False
        try:
            if job.is_searched(batch):
                measured = _with_rows(measured, finished, job.measure(batch), len(pairs))
                finished, begun = finished + _count(batch), later
                if checkpoint is not None and finished < len(pairs):
                    checkpoint.offer(partial(_state, _first(measured, finished), begun))
            else:
                begun = _joined(job.search(batch, _first(measured, finished), later), later)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or _count(batch) == 1:
                raise
            out_of_memory = True
        if out_of_memory:
            pairs_per_batch = _count(batch) // 2
            print(f"out of memory: going on with {pairs_per_batch} at a time", file=sys.stderr)
            # Not before: the error holds on to all tensors of the batch.
            torch.cuda.empty_cache()
    return measured


@dataclass(frozen=True)
class _Job:
    """What a search of many paths works with, a batch at a time."""

    landscape: Objective
    weights: Tensor
    settings: PathSettings
    checkpoint: Checkpoint | None
    progress: Progress | None

    def search(self, batch: Rows, done: Rows, later: Rows) -> Rows:
        """The batch after its last step; done and later: the pairs before it and those after it
        that are begun too, for the checkpoint."""
        search = self._search_of(batch)
        steps = self.settings.steps
        before = _count(done) * steps + (int(later["step"].sum()) if later else 0)
        products = product_type(self.settings.precision, self.weights.device)

        def rows() -> Rows:
            return {"pairs": batch["pairs"], **search.state()}

        while search.step < steps:
            with matrix_products(products):
                losses = search.advance()
            if self.progress is not None:
                mean = losses.mean().item() / self.settings.points
                self.progress.update(
                    before + search.step * len(losses),
                    f"step {search.step}, mean loss along the paths {mean:.3e}",
                )
            if self.checkpoint is not None:
                self.checkpoint.offer(lambda: _state(done, _joined(rows(), later)))
        return rows()

    def is_searched(self, batch: Rows) -> bool:
        """Whether the batch has made its last step."""
        return "step" in batch and int(batch["step"][0]) == self.settings.steps

    def measure(self, batch: Rows) -> Rows:
        """What `find_and_measure` returns, of a batch that is searched."""
        paths = self._search_of(batch).paths()
        landscape, settings = self.landscape, self.settings
        if self.progress is not None:
            self.progress.note(f"measuring {_count(batch)} paths on {landscape.count} images")
        losses, fine_losses = paths.losses_on_grids(
            landscape, settings.points, settings.fine_points
        )
        straight = paths.straight()
        measured = {
            "pairs": batch["pairs"],
            "coefficients": paths.coefficients,
            "losses": losses,
            "fine_losses": fine_losses,
            "straight_losses": straight.losses(landscape, settings.points),
            "step_losses": paths.step_losses,
            "lengths": paths.lengths(settings.fine_points),
            "straight_lengths": straight.lengths(2),
        }
        return {name: tensor.cpu() for name, tensor in measured.items()}

    def _search_of(self, batch: Rows) -> PathSearch:
        """The search of a batch, at the step where it was left."""
        settings = self.settings
        search = PathSearch(
            self.landscape,
            self.weights[batch["pairs"][:, 0]],
            self.weights[batch["pairs"][:, 1]],
            terms=settings.terms,
            points=settings.points,
            penalty=settings.penalty,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            keep=settings.keep,
            landscape_at=samples(self.landscape, settings.images_per_step, settings.images_seed),
        )
        if "step" in batch:
            search.restore(batch)
        return search


def _state(done: Rows, begun: Rows) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """State of a checkpoint: what is measured and what is begun, and no notes."""
    parts = {"done": done, "begun": begun}
    return {
        f"{part}.{name}": tensor.numpy()
        for part, rows in parts.items()
        for name, tensor in rows.items()
    }, {}


def _resumed(checkpoint: Checkpoint | None) -> tuple[Rows, Rows]:
    """What is measured and what is begun, as the checkpoint has it."""
    parts: dict[str, Rows] = {"done": {}, "begun": {}}
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        for key, array in saved[0].items():
            part, name = key.split(".")
            parts[part][name] = torch.from_numpy(array)
    return parts["done"], parts["begun"]


def _count(rows: Rows) -> int:
    return len(rows["pairs"]) if rows else 0


def _next_batch(begun: Rows, most: int) -> tuple[Rows, Rows]:
    """The first rows, at most so many and of one step, and the rows after them."""
    _, alike = begun["step"].unique_consecutive(return_counts=True)
    size = min(most, int(alike[0]))
    batch = _first(begun, size)
    later = {name: tensor[size:] for name, tensor in begun.items()}
    return batch, later if _count(later) else {}


def _first(rows: Rows, count: int) -> Rows:
    return {name: tensor[:count] for name, tensor in rows.items()}


def _with_rows(measured: Rows, finished: int, rows: Rows, total: int) -> Rows:
    """The measured rows and, from row `finished` on, new ones, in tensors of as many rows as there
    are pairs in total. These are allocated once: tensors that grow from batch to batch leave holes
    in the memory that are too small for what comes next."""
    if _count(measured) < total:
        earlier = measured
        measured = {
            name: tensor.new_empty(total, *tensor.shape[1:]) for name, tensor in rows.items()
        }
        for name, tensor in earlier.items():
            measured[name][:finished] = tensor
    for name, tensor in rows.items():
        measured[name][finished : finished + len(tensor)] = tensor
    return measured


def _joined(first: Rows, second: Rows) -> Rows:
    """All rows of both, either of which may be empty."""
    if not first or not second:
        return first or second
    return {name: torch.cat([first[name], second[name]]) for name in first}


def samples(landscape: Objective, count: int | None, seed: int) -> LandscapeAt | None:
    """Landscapes of `count` images drawn afresh for each step; None for all images."""

    def sample(step: int) -> Objective:
        order = torch.randperm(
            landscape.count, generator=generator(seed, f"path images/step {step}")
        )
        return landscape.subset(order[:count].to(landscape.images.device))

    return None if count is None else sample
