"""Recorded optimization paths, read, and summed up over their steps and seeds."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from topography import ratios, storage
from topography.errors import TopographyError


@dataclass(frozen=True)
class Run:
    """A recorded run as the figures and claims use it.

    notes: `settings`, `seeds`, `references`, `steps_per_epoch`, `losses`. records: see
    `geometry.Recorder.records`.
    """

    notes: dict[str, Any]
    records: dict[str, np.ndarray]

    @property
    def steps(self) -> int:
        """Steps that count: all but those of the last epoch, whose cosine tends to 1 by itself."""
        return self.records["loss"].shape[1] - self.notes["steps_per_epoch"]

    def shown(self, quantity: str, reference: str = "end") -> np.ndarray:
        """One of `ratios.with_ratios` or of the records, at the steps that count, [S, T]."""
        derived = ratios.with_ratios(self.records, self.notes["references"].index(reference))
        values = derived[quantity] if quantity in derived else self.records[quantity]
        return values[:, : self.steps]


def read_runs(files: Sequence[Path]) -> dict[str, Run]:
    """All runs of the studies in `<study>.safetensors`, by `<study>/<run>`.

    Raises:
        StorageError: a file is missing or damaged.
    """
    runs = {}
    for file in files:
        tensors, metadata = storage.read_tensors_and_metadata(file)
        for name, notes in json.loads(metadata["runs"]).items():
            own = {
                key.removeprefix(f"{name}/"): values
                for key, values in tensors.items()
                if key.startswith(f"{name}/")
            }
            runs[f"{file.stem}/{name}"] = Run(notes, own)
    return runs


def datasets(runs: Iterable[Run]) -> str:
    """Names of the datasets of some runs, for a reader; empty if all are of functions."""
    settings = [run.notes["settings"] for run in runs]
    return ", ".join(sorted({own["dataset"] for own in settings if own["function"] is None}))


def probes_of(name: str, probes: pd.DataFrame) -> pd.DataFrame:
    """The probes of a run, `<study>/<run>`.

    Raises:
        TopographyError: it has none.
    """
    chosen = probes[probes["run"] == name.split("/")[1]] if len(probes) else probes
    if len(chosen) == 0:
        raise TopographyError(
            f"The run {name} has no probes to show. Give it `probes` in the configuration, under "
            "geometry.studies."
        )
    return chosen


def probe_curve(run: Run, probes: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Mean cosine by the size of minibatches on one path, with a fit, and its noise scale.

    Without the first epoch, in which all cosines are several times as high, and the last.

    Raises:
        TopographyError: there was no probe in between.
    """
    counts = probes["iteration"].between(run.notes["steps_per_epoch"], run.steps, inclusive="left")
    chosen = probes[counts & (probes["probe"] == "train")]
    if len(chosen) == 0:
        raise TopographyError(
            "All probes of a run are in its first or last epoch, which do not count. Raise its "
            "epochs, or lower probes.every, in the configuration, under geometry.studies."
        )
    groups = chosen.groupby("batch_size")["cosine"]
    table = groups.agg(mean="mean", low="min", high="max").reset_index(names="position")
    full, noise_scale = ratios.fit_noise_scale(
        table["position"].to_numpy(float), table["mean"].to_numpy()
    )
    fit = full / np.sqrt(1 + noise_scale / table["position"])
    return table.assign(comparison=fit), noise_scale


def batch_size_curve(runs: Sequence[Run]) -> pd.DataFrame:
    """Mean cosine of whole runs by their batch size, and that of the null model of each."""
    rows = []
    for run in runs:
        by_seed = np.nanmean(run.shown("cosine"), axis=1)
        rows.append(
            (
                run.notes["settings"]["optimizer_settings"]["batch_size"],
                by_seed.mean(),
                by_seed.min(),
                by_seed.max(),
                np.nanmean(run.shown("null_cosine")),
            )
        )
    table = pd.DataFrame(rows, columns=["position", "mean", "low", "high", "comparison"])
    return table.sort_values("position", ignore_index=True)
