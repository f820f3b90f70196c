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
from topography.architectures import get_architecture
from topography.objective import Objective


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


def test_a_part_of_the_images_has_as_many_blank_pixels_in_common_as_all() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(20_000, 28, 28)
    margins = torch.randint(0, 10, (len(images), 4), generator=generator)
    for image, (top, left, right, bottom) in zip(images, margins.tolist(), strict=True):
        image[top : 28 - bottom, left : 28 - right] = 1.0
    labels = torch.arange(len(images))
    whole = Objective(get_architecture("fcp"), images.flatten(1), labels)
    part = work.part_of(whole, 4096)
    assert part.count == 4096
    assert torch.equal(part.images, whole.images[part.labels])
    assert len(part.labels.unique()) == 4096
    few = whole.subset(torch.arange(4096))
    assert work._pixels(part, 1) == pytest.approx(work._pixels(whole, 1), rel=0.02)
    assert work._pixels(few, 1) > 1.05 * work._pixels(whole, 1)
    assert work.part_of(whole, 20_000) is whole
