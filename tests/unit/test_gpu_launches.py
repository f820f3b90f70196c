"""What a GPU would be asked for, seen without one: on fake tensors every operation runs but its
arithmetic. One that mixes devices, or waits for the GPU to read a number from it, is refused."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from topography.architectures import get_architecture, lstm
from topography.architectures.base import Architecture
from topography.objective import Chunk, Objective
from topography.optimizers import get_optimizer
from topography.optimizers.lbfgs import search_directions
from topography.paths import Adam, path_losses_and_gradients

IMAGES, BATCH_SIZE, POINTS, TERMS = 128, 64, 5, 3
ARCHITECTURES = ["fcp", "autoencoder", "lenet", "lstm"]
NO_LAUNCH = ("empty", "new_empty", "empty_like", "empty_strided", "detach")


class Asked(TorchDispatchMode):
    """Counts what a GPU would have to do, for which views and fresh memory are nothing, and the
    copies from the processor's memory, for which a program waits."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = 0
        self.copies = 0

    def __torch_dispatch__(
        self, operation: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = operation(*args, **(kwargs or {}))
        made = result[0] if isinstance(result, list | tuple) and result else result
        there = isinstance(made, Tensor) and made.device.type == "cuda"
        name = operation.overloadpacket.__name__
        if there and not operation.is_view and name not in NO_LAUNCH:
            self.launches += 1
        if there and name in ("_to_copy", "copy_") and any(from_cpu(given) for given in args):
            self.copies += 1
        return result


def from_cpu(given: object) -> bool:
    return isinstance(given, Tensor) and given.device.type == "cpu"


@pytest.fixture(autouse=True)
def fake_tensors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Cutting the images reads where their margins end, once for the whole of a job.
    monkeypatch.setattr(Objective, "_cut", cut_unsorted)
    constants = (lstm._permutation, lstm._factors)  # of a device; no fake one may stay
    with FakeTensorMode():
        yield
    for constant in constants:
        constant.cache_clear()


def cut_unsorted(objective: Objective, size: int) -> list[Chunk]:
    whole = slice(0, objective.images.shape[1])
    parts = zip(objective.images.split(size), objective.labels.split(size), strict=True)
    return [Chunk(images, labels, whole) for images, labels in parts]


def on_gpu(*shape: int) -> Tensor:
    return torch.empty(*shape, device="cuda")


def objective_of(architecture: Architecture) -> Objective:
    return Objective(architecture, on_gpu(IMAGES, 784), on_gpu(IMAGES).long())


def asked_for(work: Callable[[], object]) -> "Asked":
    work()  # constants are copied to the GPU once
    with Asked() as asked:
        work()
    return asked


def epoch(architecture: Architecture, optimizer: str, networks: int) -> None:
    descent = get_optimizer(optimizer, learning_rate=0.1, batch_size=BATCH_SIZE, epochs=1)
    objective = objective_of(architecture)
    params = on_gpu(networks, architecture.parameter_count)
    state, _ = descent.start(objective, params)
    params, state, losses = descent.run_epoch(objective, params, state, list(range(networks)), 1)
    assert {tensor.device.type for tensor in (params, losses, *state.values())} == {"cuda"}


def path_step(architecture: Architecture, pairs: int) -> None:
    ends = on_gpu(2, pairs, architecture.parameter_count)
    adam = Adam(on_gpu(pairs, TERMS, architecture.parameter_count), 1e-3)
    losses, gradients = path_losses_and_gradients(
        objective_of(architecture), *ends, adam.values, POINTS, penalty=1e-4
    )
    adam.step(gradients)
    assert losses.device.type == adam.values.device.type == "cuda"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_epoch_of_minibatches_waits_for_nothing_but_their_order(name: str) -> None:
    """And 75 networks take as many launches as 25."""
    architecture = get_architecture(name)
    few, many = (asked_for(partial(epoch, architecture, "sgd", networks)) for networks in (25, 75))
    assert few.launches == many.launches
    assert few.copies == many.copies == 1


def test_nor_does_adam_wait() -> None:
    epoch(get_architecture("fcp"), "adam", 2)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_of_paths_waits_for_nothing_but_the_weights_of_its_points(name: str) -> None:
    """And ten pairs take as many launches as five."""
    architecture = get_architecture(name)
    few, many = (asked_for(partial(path_step, architecture, pairs)) for pairs in (5, 10))
    assert few.launches == many.launches
    assert few.copies == many.copies == 1


def test_directions_of_lbfgs_never_wait() -> None:
    histories = on_gpu(2, 3, 10, 40)
    directions, pairs = search_directions(
        on_gpu(3, 40), *histories, on_gpu(3).long(), curvature_damping=1e-6
    )
    assert directions.device.type == pairs.device.type == "cuda"


def test_waiting_and_mixing_would_be_noticed() -> None:
    with pytest.raises(DataDependentOutputException):
        on_gpu(1).item()
    with pytest.raises(RuntimeError, match="device"):
        on_gpu(3) + torch.zeros(3)
