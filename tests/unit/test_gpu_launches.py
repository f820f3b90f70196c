"""What a GPU is asked for, counted without one: it does not grow with the number of networks."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from reference import data
from support.pretend_gpu import PretendedGpu, objective_on_gpu, pretended_gpu
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import Optimizer
from topography.paths import PathSearch

ARCHITECTURES = ["fcp", "autoencoder", "lenet", "lstm"]
IMAGES, BATCH_SIZE = 32, 16
BATCHES = (20, 40)  # of networks, more than LeNet has rows


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedGpu]:
    with pretended_gpu(monkeypatch) as gpu:
        yield gpu


def same_networks(objective: Objective, count: int) -> Tensor:
    """One network many times over, [count, P], so that all line searches are alike."""
    parameters = objective.architecture.parameter_count
    network = data.random_vectors(1, parameters, 0.05, dtype=torch.float32)
    return network.repeat(count, 1).to("cuda")


def asked_for(gpu: PretendedGpu, work: Callable[[], object]) -> tuple[int, int]:
    """Launches and waits of a piece of work that has been done before."""
    work()
    before = gpu.launches, gpu.waits
    work()
    return gpu.launches - before[0], gpu.waits - before[1]


def epoch(objective: Objective, optimizer: Optimizer, networks: int) -> Callable[[], object]:
    params = same_networks(objective, networks)
    state, _ = optimizer.start(objective, params)
    return partial(optimizer.run_epoch, objective, params, state, list(range(networks)), 1)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_an_epoch_of_minibatches_waits_once(gpu: PretendedGpu, kind: str, name: str) -> None:
    """For the order of the images; and more networks take no more launches."""
    objective = objective_on_gpu(name, IMAGES)
    optimizer = get_optimizer(kind, learning_rate=0.1, batch_size=BATCH_SIZE, epochs=1)
    few, many = (asked_for(gpu, epoch(objective, optimizer, count)) for count in BATCHES)
    assert few == many
    assert few[1] == 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_line_searches_of_many_seeds_wait_no_more_often(gpu: PretendedGpu, name: str) -> None:
    objective = objective_on_gpu(name, IMAGES)
    few, many = (
        asked_for(gpu, epoch(objective, get_optimizer("lbfgs", iterations=1), count))
        for count in BATCHES
    )
    assert few == many


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_of_paths_waits_once(gpu: PretendedGpu, name: str) -> None:
    """For the weights of its points; and more pairs take no more launches."""
    objective = objective_on_gpu(name, IMAGES)

    def step(pairs: int) -> Callable[[], object]:
        ends = same_networks(objective, pairs)
        search = PathSearch(
            objective,
            ends,
            2.0 * ends,
            terms=3,
            points=7,  # of which the ends stay where they are
            penalty=1e-4,
            steps=2,
            learning_rate=1e-3,
            keep="lowest",
        )
        return search.advance

    few, many = (asked_for(gpu, step(pairs)) for pairs in (4, 8))
    assert few == many
    assert few[1] == 1


def test_a_gpu_refuses_what_lies_elsewhere(gpu: PretendedGpu) -> None:
    with pytest.raises(RuntimeError, match="others are not"):
        torch.zeros(3, device="cuda") + torch.zeros(3)
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device="cuda", generator=torch.Generator())
