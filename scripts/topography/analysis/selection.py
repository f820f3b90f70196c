"""Which trained runs form the sets of solutions (section III.1 of the paper).

Per architecture and optimizer, the runs with the lowest train loss are kept. Their weights at the
minimum of the train curve are the train set, those at the minimum of the test curve the test set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from topography import storage
from topography.analysis.sets import CHECKPOINTS
from topography.errors import TopographyError

RUN_COLUMNS = ("seed", "status", "reason", "train_epoch", "train_loss", "test_epoch", "test_loss")
UNKNOWN_EPOCH = -1  # of networks that were trained elsewhere
WEIGHT_SHAPES = {"seeds": ["S"], "train_weights": ["S", "P"], "test_weights": ["S", "P"]}


class SelectionError(TopographyError):
    """The trained runs contradict each other or are too few."""


@dataclass(frozen=True)
class TrainedRuns:
    """All runs of one architecture and optimizer, sorted by seed.

    Attributes:
        source: the folder they come from, for messages.
        runs: one row per run with the columns ``RUN_COLUMNS``.
        weights: checkpoint -> float32 [S, P], row by row those of ``runs``; NaN where a run failed.
    """

    source: Path
    runs: pd.DataFrame
    weights: dict[str, np.ndarray]


def read_trained(weight_files: Sequence[Path], run_files: Sequence[Path]) -> TrainedRuns:
    """Join the outputs of the training jobs of one architecture and optimizer.

    Args:
        weight_files: weights of each job.
        run_files: run tables of the same jobs, in the same order.

    Raises:
        SelectionError: files do not belong together, a seed occurs twice, or a run counts as
            successful without finite losses and weights.
        StorageError: a file is missing, damaged or has the wrong shape.
    """
    if len(weight_files) != len(run_files):
        raise SelectionError(
            f"{len(weight_files)} weight files but {len(run_files)} run tables were given. "
            "Give both files of every training job, in the same order."
        )
    jobs = [_read_job(*files) for files in zip(weight_files, run_files, strict=True)]
    sizes = {job["train"].shape[1]: path for (_, job), path in zip(jobs, weight_files, strict=True)}
    if len(sizes) > 1:
        files = " and ".join(f"{path} ({size} weights)" for size, path in sizes.items())
        raise SelectionError(
            f"{files} are not of one architecture. Give the files of one architecture only."
        )
    runs = pd.concat([table for table, _ in jobs], ignore_index=True)
    repeated = runs.loc[runs["seed"].duplicated(), "seed"].tolist()
    if repeated:
        raise SelectionError(
            f"Seeds {repeated} occur in more than one of the run tables in {run_files[0].parent}. "
            "Give each seed once, and remove what an earlier grouping of seeds left behind."
        )
    by_seed = np.argsort(runs["seed"].to_numpy(), kind="stable")
    weights = {
        checkpoint: np.concatenate([job[checkpoint] for _, job in jobs])[by_seed]
        for checkpoint in CHECKPOINTS
    }
    trained = TrainedRuns(run_files[0].parent, runs.iloc[by_seed].reset_index(drop=True), weights)
    _require_finite(trained)
    return trained


def failures(runs: pd.DataFrame) -> list[tuple[int, str]]:
    """Seed and reason of every failed run."""
    failed = runs[runs["status"] != "ok"]
    return list(zip(failed["seed"].tolist(), failed["reason"].tolist(), strict=True))


def rank_runs(trained: TrainedRuns, keep: int) -> pd.DataFrame:
    """Rank the surviving runs by train loss, ties by seed, and keep the best.

    Args:
        trained: the runs.
        keep: how many to keep.

    Returns:
        The run table, sorted by seed, with the columns ``rank`` (1 = lowest train loss, NaN where
        the run failed) and ``kept``.

    Raises:
        SelectionError: fewer than ``keep`` runs survived, or ``keep`` is not positive.
    """
    runs = trained.runs.copy()
    survivors = runs[runs["status"] == "ok"].sort_values(["train_loss", "seed"])
    if keep < 1:
        raise SelectionError(f"Cannot keep {keep} runs. Set selection.keep to 1 or more.")
    if len(survivors) < keep:
        failed = [f"seed {seed}: {reason}" for seed, reason in failures(runs)]
        if not failed and (runs["train_epoch"] == UNKNOWN_EPOCH).all():
            raise SelectionError(
                f"The files under weights.<architecture>.<optimizer> that {trained.source} was "
                f"made from hold {len(runs)} networks each, but {keep} are to be kept. Lower "
                "selection.keep, which holds for both optimizers, or give files with more."
            )
        detail = f" Failed: {'; '.join(failed)}." if failed else ""
        raise SelectionError(
            f"{len(survivors)} of {len(runs)} runs in {trained.source} survived training, but "
            f"{keep} are to be kept.{detail} Lower selection.keep, raise training.seeds, or mend "
            "what makes the runs fail (often too large a learning rate)."
        )
    ranks = pd.Series(np.arange(1, len(survivors) + 1), index=survivors.index)
    runs["rank"] = ranks.reindex(runs.index)
    runs["kept"] = runs["rank"] <= keep
    return runs


def kept_sets(
    trained: TrainedRuns, ranked: pd.DataFrame
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Train set and test set of the kept runs, best first.

    Returns:
        Twice ``weights`` float32 [keep, P] and ``seeds`` int64 [keep]; both in the order of rank.
    """
    rows = ranked[ranked["kept"]].sort_values("rank").index.to_numpy()
    seeds = ranked["seed"].to_numpy(np.int64)[rows]
    train_set, test_set = (
        {"weights": trained.weights[checkpoint][rows], "seeds": seeds} for checkpoint in CHECKPOINTS
    )
    return train_set, test_set


def _read_job(weight_file: Path, run_file: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Run table and weights per checkpoint of one training job."""
    tensors = storage.read_tensors(weight_file, WEIGHT_SHAPES)
    runs = storage.read_table(run_file, RUN_COLUMNS)[list(RUN_COLUMNS)]
    if runs["seed"].tolist() != tensors["seeds"].tolist():
        raise SelectionError(
            f"{weight_file} holds seeds {tensors['seeds'].tolist()}, {run_file} seeds "
            f"{runs['seed'].tolist()}. Give both files of each job, in the same order."
        )
    return runs, {checkpoint: tensors[f"{checkpoint}_weights"] for checkpoint in CHECKPOINTS}


def _require_finite(trained: TrainedRuns) -> None:
    """Refuse a run that counts as successful without finite losses and weights."""
    finite = np.isfinite(trained.runs[["train_loss", "test_loss"]].to_numpy(float)).all(axis=1)
    for weights in trained.weights.values():
        finite &= np.isfinite(weights).all(axis=1)
    broken = trained.runs.loc[(trained.runs["status"] == "ok") & ~finite, "seed"].tolist()
    if broken:
        raise SelectionError(
            f"Seeds {broken} in {trained.source} have status ok, but a loss or weight of theirs "
            "is NaN or infinite. Delete the files of their job and train them again."
        )
