"""The benchmark runs, and makes the table and the report that it promises."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks import work
from benchmarks.__main__ import row, table
from benchmarks.work import all_work
from benchmarks.workers import Workers
from reference import data
from support.pretend_gpu import objective_on_gpu, pretended_gpu


@pytest.mark.parametrize("name", ["fcp", "autoencoder", "lenet", "lstm"])
def test_every_work_runs_and_is_reported(name: str) -> None:
    images, labels = data.random_images(128, seed=3, dtype=torch.float32)
    cores = 2 if name == "fcp" else 1
    cpu = torch.device("cpu")
    with Workers(cores, name, images, labels, cpu) as workers:
        rows = [row(work, workers, 1, 1e11, cpu) for work in all_work(name, images, labels)]
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


@pytest.mark.parametrize("name", ["fcp", "autoencoder", "lenet", "lstm"])
def test_the_engine_is_measured_on_a_gpu_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(work.SEEDS, "cuda", 2)
    monkeypatch.setitem(work.PAIRS, "cuda", 1)
    with pretended_gpu(monkeypatch) as gpu:
        objective = objective_on_gpu(name, 64)
        for engine in work.ENGINES.values():
            before = gpu.launches
            engine(objective)()
            assert gpu.launches > before
