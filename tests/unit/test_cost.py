"""Counts against real runs of counted networks, then time, memory and disk from the counts."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from reference.data import REPOSITORY
from topography.architectures import get_architecture
from topography.architectures.base import Architecture, Parameter
from topography.errors import TopographyError
from topography.jobs import converged_searches
from topography.jobs.path_searches import PathSettings, find_and_measure
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import Optimizer
from topography.training import train
from topography.workflow import configuration_checks, cost, probe

TRAIN, TEST, SEEDS, PAIRS = 23, 7, 3, 2
SGD = {"learning_rate": 0.1, "batch_size": 5, "epochs": 4}
LBFGS = {"iterations": 4, "line_search_budget": 6}
PATHS = {
    "terms": 2,
    "points": 5,
    "fine_points": 9,
    "penalty": 1e-4,
    "steps": 3,
    "learning_rate": 1e-3,
    "keep": "last",
    "images_per_step": 11,
    "images_seed": 0,
    "precision": "exact",
}
SETTINGS = {
    "images": {"train": TRAIN, "test": TEST},
    "optimizers": {"sgd": SGD, "lbfgs": LBFGS},
    "paths": PATHS,
}


@dataclass
class Counted(Architecture):
    """Squared distance of 3 parameters from each image, counting networks times images."""

    losses: int = 0
    gradients: int = 0
    name: str = "counted"
    parameters: tuple = field(default=(Parameter("weight", (3,), 3),))
    activation_floats: int = 3

    def _differences(self, params: Tensor, images: Tensor) -> Tensor:
        return params.unsqueeze(1) - images[..., :3]

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.losses += len(params) * images.shape[-2]
        return self._differences(params, images).square().sum((1, 2)).double()

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        self.gradients += len(params) * images.shape[-2]
        differences = self._differences(params, images)
        return differences.square().sum((1, 2)).double(), 2.0 * differences.sum(1)


def objective(architecture: Architecture, count: int) -> Objective:
    pixels = torch.rand(count, 784, generator=torch.Generator().manual_seed(count))
    return Objective(architecture, pixels, torch.zeros(count, dtype=torch.int64))


def trained(optimizer: str) -> Counted:
    """The architecture after a training of it."""
    counted = Counted()
    train(
        objective(counted, TRAIN),
        objective(counted, TEST),
        get_optimizer(optimizer, **SETTINGS["optimizers"][optimizer]),
        list(range(SEEDS)),
        torch.ones(SEEDS, 3),
    )
    return counted


def test_sgd_is_counted_as_it_runs() -> None:
    counted, work = trained("sgd"), cost.training_work(SETTINGS, "sgd", SEEDS)
    assert counted.gradients == work[cost.SGD_STEP] == SEEDS * 4 * TRAIN
    assert counted.losses == work[cost.LOSS] == SEEDS * 5 * (TRAIN + TEST)
    assert set(work) == {cost.SGD_STEP, cost.LOSS}


def test_lbfgs_is_counted_as_it_runs_with_full_line_searches() -> None:
    counted, work = trained("lbfgs"), cost.training_work(SETTINGS, "lbfgs", SEEDS)
    assert counted.gradients == work[cost.GRADIENT] == SEEDS * 5 * TRAIN
    assert work[cost.LOSS] == SEEDS * 5 * TEST
    assert work[cost.LINE_LOSS] == SEEDS * 4 * 6 * TRAIN
    one_trial = work[cost.LINE_LOSS] // 6
    assert one_trial <= counted.losses - work[cost.LOSS] <= work[cost.LINE_LOSS]
    assert work[cost.DIRECTION] == SEEDS * 4


@pytest.mark.parametrize("fine_points", [9, 8], ids=["nested", "not nested"])
@pytest.mark.parametrize("images_per_step", [11, None])
def test_paths_are_counted_as_they_are_found(fine_points: int, images_per_step: int | None) -> None:
    paths = {**PATHS, "fine_points": fine_points, "images_per_step": images_per_step}
    counted = Counted()
    find_and_measure(
        objective(counted, TRAIN),
        torch.eye(3),
        torch.tensor([[0, 1], [1, 2]]),
        PathSettings.from_json(paths),
        pairs_per_batch=1,
    )
    work = cost.path_work({**SETTINGS, "paths": paths}, "train", PAIRS)
    visited = 5 * 11 if images_per_step else 3 * 23  # the ends only among images of the step
    assert counted.gradients == work[cost.PATH_GRADIENT] == PAIRS * 3 * visited
    assert counted.losses == work[cost.PATH_LOSS]


@pytest.mark.parametrize("fine_points", [9, 8], ids=["nested", "not nested"])
def test_converged_paths_are_counted_as_searches_that_never_settle_run(
    fine_points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        converged_searches,
        "settled",
        lambda first, lowest, previous, now, tolerance: now == torch.inf,
    )
    settings = {
        "first": {**PATHS, "fine_points": fine_points, "images_per_step": 11},
        "terms": [1, 2],
        "doublings": 2,
        "tolerance": 0.0,
        "points": 4,
        "learning_rate": 0.1,
        "images_per_step": 7,
    }
    counted = Counted()
    converged_searches.search(
        objective(counted, TRAIN),
        torch.eye(3),
        torch.tensor([[0, 1], [1, 2]]),
        converged_searches.ConvergenceSettings.from_json(settings),
        landscape_at=lambda step: objective(counted, 11 if step < 3 else 7),
    )
    work = cost.converged_work(settings, TRAIN, PAIRS)
    assert work[cost.PATH_GRADIENT] == PAIRS * 2 * 3 * 3 * 11
    assert work[cost.SEARCH_GRADIENT] == PAIRS * 2 * 9 * 4 * 7
    assert counted.gradients == work[cost.PATH_GRADIENT] + work[cost.SEARCH_GRADIENT]
    assert counted.losses == work[cost.PATH_LOSS]


def scale(name: str, changes: dict | None = None) -> dict:
    return configuration_checks.read(REPOSITORY, {"scale": name, **(changes or {})})


def total(config: dict, kind: str) -> int:
    return sum(
        stage.work.get(kind, 0)
        for stage in cost.stages(config, "cpu")
        if stage.rule not in cost.ON_REQUEST
    )


KINDS = [
    cost.LOSS,
    cost.GRADIENT,
    cost.SGD_STEP,
    cost.LINE_LOSS,
    cost.PATH_GRADIENT,
    cost.PATH_LOSS,
]


@pytest.mark.parametrize(
    ("changes", "doubled"),
    [
        ({"training": {"seeds": 150}}, set(KINDS[:4])),
        ({"pairs": {"count": 600}}, set(KINDS[4:])),
        ({"images": {"train": 30000, "test": 5000}}, set(KINDS)),
    ],
    ids=["seeds", "pairs", "images"],
)
def test_work_is_proportional(changes: dict, doubled: set[str]) -> None:
    before, after = scale("paper"), scale("paper", changes)
    if "images" in changes:
        before, after = after, before
    for kind in KINDS:
        assert total(after, kind) == total(before, kind) * (2 if kind in doubled else 1)


def test_memory_depends_on_what_shares_a_job_alone() -> None:
    def memories(changes: dict) -> list[int]:
        return [stage.memory for stage in cost.stages(scale("paper", changes), "cpu")]

    assert memories({"training": {"seeds": 150}, "pairs": {"count": 1100}}) == memories({})
    assert max(memories({})) < 3e9
    together = memories({"training": {"seeds_per_job": 75}})
    assert all(more >= less for more, less in zip(together, memories({}), strict=True))
    assert together != memories({})


def test_the_jobs_of_the_paper() -> None:
    jobs = {cost.TRAIN: 0, cost.PATHS: 0, cost.CONVERGED: 0}
    for stage in cost.stages(scale("paper"), "cpu"):
        jobs[stage.rule] += len(stage.jobs)
    # as config/paper.yaml says; a job per architecture and set for converged paths
    assert jobs == {cost.TRAIN: 24, cost.PATHS: 144, cost.CONVERGED: 16}


def test_seconds_are_units_times_rates() -> None:
    stage = cost.Stage("train_networks", "fcp", "sgd", ("a", "b", "c"), {"a": 10, "b": 4}, 0, 0, 0)
    assert stage.seconds({"a": 0.5, "b": 2.0, "c": 9.0}, startup=1.0) == 3 * 1.0 + 5.0 + 8.0


def test_the_size_of_weights_on_disk() -> None:
    """300 paths of 10 coefficients, 6 sets of them, 42,200 parameters of 4 bytes."""
    stages = cost.stages(scale("paper"), "cpu")
    paths = [stage for stage in stages if (stage.rule, stage.architecture) == (cost.PATHS, "fcp")]
    assert sum(stage.results for stage in paths) == pytest.approx(
        6 * 300 * 10 * 42_200 * 4, rel=0.01
    )


@pytest.mark.parametrize(("device", "searched"), [("cpu", 4), ("cuda", 50)])
def test_the_size_of_checkpoints_on_disk(device: str, searched: int) -> None:
    """Of 36 jobs of 50 paths: those that are searched have three more vectors per term."""
    stages = cost.stages(scale("paper"), device)
    paths = [stage for stage in stages if (stage.rule, stage.architecture) == (cost.PATHS, "fcp")]
    assert sum(stage.checkpoints for stage in paths) == pytest.approx(
        36 * (50 + 3 * searched) * 10 * 42_200 * 4, rel=0.01
    )


# The probe ----------------------------------------------------------------------------------------


def test_the_shortest_call_after_a_warm_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    lasting, now = iter([9.0, 4.0, 2.0, 3.0]), 0.0

    def call() -> None:
        nonlocal now
        now += next(lasting)

    monkeypatch.setattr(probe, "clock", lambda device: now)
    assert probe.seconds_per_unit(call, 10, torch.device("cpu"), 19.5) == 2.0 / 10


def test_a_measurement_does_the_units_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    monkeypatch.setattr(probe, "get_architecture", lambda name, **settings: counted)
    calls = probe.calls_of(scale("smoke"), "fcp", torch.device("cpu"))
    assert set(calls) == {*KINDS, cost.DIRECTION, cost.SEARCH_GRADIENT}
    for kind, (call, units) in calls.items():
        counted.losses = counted.gradients = 0
        call()
        assert counted.losses + counted.gradients == (0 if kind == cost.DIRECTION else units)


def test_every_kind_of_work_has_a_rate() -> None:
    config = scale("smoke")
    config["architectures"] = {"fcp": config["architectures"]["fcp"]}
    rates = probe.measure_rates(config, torch.device("cpu"), seconds=0.0)["fcp"]
    assert all(0.0 < rate < 1.0 for rate in rates.values())
    for stage in cost.stages(config, "cpu"):
        assert stage.seconds(rates, startup=2.0) > 2.0 * len(stage.jobs)


def test_colour_images_are_estimated_as_such() -> None:
    config = scale("smoke")
    memories = []
    for inputs in (784, 3072):
        config["architectures"] = {"mlp": {"hidden": [4], "inputs": inputs}}
        assert probe.calls_of(config, "mlp", torch.device("cpu"))
        memories.append([stage.memory for stage in cost.stages(config, "cpu")])
    images = sum(config["images"].values())
    assert all(more - less > 4 * images * 2288 for less, more in zip(*memories, strict=True))


def test_a_network_that_reads_texts_has_no_place_in_the_first_study() -> None:
    config = scale("smoke")
    config["architectures"] = {"transformer": {"tokens": 92}}
    with pytest.raises(TopographyError, match="transformer reads texts"):
        cost.stages(config, "cpu")


def test_an_optimizer_of_ones_own_is_measured_by_its_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(Optimizer):
        epochs = 4

        def start(self, objective, params):
            return {}, objective.losses(params)

        def run_epoch(self, objective, params, state, seeds, epoch):
            return params, state, objective.losses(params)

    monkeypatch.setattr(cost, "get_optimizer", lambda name, **settings: Own())
    settings = {**SETTINGS, "optimizers": {"own": {}}}
    work = cost.training_work(settings, "own", SEEDS)
    assert work == {"own epoch": SEEDS * 4 * TRAIN, cost.LOSS: SEEDS * (TRAIN + 5 * TEST)}


def test_weights_from_elsewhere_cost_no_training() -> None:
    files = {"train": "a.npy", "test": "a.npy"}
    weights = {"weights": {"lenet": {"sgd": files, "lbfgs": files}, "fcp": {"sgd": files}}}
    all_of_them, fewer = (
        len(cost.stages(scale("paper", changes), "cpu")) for changes in ({}, weights)
    )
    assert fewer == all_of_them - 3


def test_the_probe_measures_as_many_pixels_as_a_chunk_of_mnist_has() -> None:
    cpu = torch.device("cpu")
    (chunk,) = probe._objective(get_architecture("fcp"), 500, cpu).chunks(1)
    assert len(chunk.pixels) == 20 * 17  # 341 of MNIST on average
    (chunk,) = probe._objective(get_architecture("mlp", inputs=3072), 500, cpu).chunks(1)
    assert len(chunk.pixels) == 3072
