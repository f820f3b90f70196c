"""The benchmark runs, and makes the table and the report that it promises."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.__main__ import row, table
from benchmarks.work import all_work
from benchmarks.workers import Workers
from reference import data


@pytest.mark.parametrize("name", ["fcp", "autoencoder", "lenet", "lstm"])
def test_every_work_runs_and_is_reported(name: str) -> None:
    images, labels = data.random_images(128, seed=3, dtype=torch.float32)
    cores = 2 if name == "fcp" else 1
    with Workers(cores, name, images, labels) as workers:
        rows = [row(work, workers, 1, rate=1e11) for work in all_work(name, images, labels)]
    assert [entry["work"] for entry in rows] == [
        "Adam step of a path",
        "iteration of L-BFGS",
        "epoch of SGD",
    ]
    for entry in rows:
        numbers = [*entry["seconds"].values(), *entry["ratio"].values()]
        assert all(math.isfinite(number) and number > 0 for number in numbers)
        assert len(entry["ratio"]) == 2
        assert entry["peak_memory_mb"] > 100
    machine = {"processor": "x", "cores": 1, "torch": "y", "matrix_product_gflops": 100.0}
    assert table(rows, machine).count(name) == 3
