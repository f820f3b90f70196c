"""Batched SGD against one network at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reference import data, networks
from reference.sgd import run_sgd
from topography.architectures import get_architecture
from topography.errors import TopographyError
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import minibatch_order

VARIANTS = [
    ("fcp", {}),
    ("fcp", {"activation": "relu"}),
    ("lenet", {}),
    ("lenet", {"activation": "relu"}),
    ("autoencoder", {}),
    ("lstm", {}),
]
IMAGES, BATCH_SIZE = 19, 8


def make_objective(name: str, settings: dict[str, str], count: int = IMAGES) -> Objective:
    """Return the objective of random images."""
    images, labels = data.random_images(count, seed=5)
    return Objective(get_architecture(name, **settings), images, labels)


def initial_params(name: str, seeds: list[int]) -> Tensor:
    """Return PyTorch's initial vectors [S, P] in float64."""
    return torch.stack([networks.initial_vector(name, seed) for seed in seeds]).double()


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_epochs_equal_one_network_at_a_time(name: str, settings: dict[str, str]) -> None:
    """Two epochs of three minibatches, the last one smaller, each seed in an order of its own."""
    seeds = [0, 3, 12]
    objective = make_objective(name, settings)
    optimizer = get_optimizer("sgd", learning_rate=0.1, batch_size=BATCH_SIZE, epochs=2)
    params = initial_params(name, seeds)
    start = params.clone()
    state, losses = optimizer.start(objective, params)
    assert torch.allclose(losses, objective.losses(start), rtol=1e-12)
    for epoch in (1, 2):
        params, state, losses = optimizer.run_epoch(objective, params, state, seeds, epoch)
    assert torch.equal(start, initial_params(name, seeds))
    for row, seed in enumerate(seeds):
        minibatches = []
        for epoch in (1, 2):
            order = minibatch_order([seed], epoch, IMAGES)[0].tolist()
            minibatches += [order[k : k + BATCH_SIZE] for k in range(0, IMAGES, BATCH_SIZE)]
        expected = run_sgd(
            name,
            start[row],
            objective.images,
            objective.labels,
            minibatches,
            learning_rate=0.1,
            activation=settings.get("activation", "softplus"),
        )
        error = (params[row] - expected).abs().max() / expected.abs().max()
        assert error.item() < 1e-10
        moved = (params[row] - start[row]).abs().max()
        assert ((params[row] - expected).abs().max() / moved).item() < 1e-9
        loss, _ = networks.loss_and_gradient(
            name,
            expected,
            objective.images,
            objective.labels,
            settings.get("activation", "softplus"),
        )
        assert losses[row].item() == pytest.approx(loss, rel=1e-10)


def test_every_epoch_visits_every_image_once_in_a_new_order() -> None:
    orders = torch.cat([minibatch_order([0, 1], epoch, 40) for epoch in (1, 2)])
    assert orders.shape == (4, 40)
    for order in orders:
        assert sorted(order.tolist()) == list(range(40))
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(minibatch_order([0, 1], 2, 40), orders[2:])
    assert torch.equal(minibatch_order([1], 2, 40)[0], orders[3])


@pytest.mark.parametrize("name", ["fcp", "lenet", "autoencoder", "lstm"])
def test_steps_do_not_depend_on_batch_mates(name: str) -> None:
    """Bit for bit in float32, with minibatches of 16 and a last one of 3."""
    objective = make_objective(name, {}, count=35)
    objective = Objective(objective.architecture, objective.images.float(), objective.labels)
    optimizer = get_optimizer("sgd", learning_rate=0.1, batch_size=16, epochs=1)
    seeds = [4, 0, 7]
    params = initial_params(name, seeds).float()
    together, _, losses = optimizer.run_epoch(objective, params, {}, seeds, 1)
    for row, seed in enumerate(seeds):
        alone, _, loss = optimizer.run_epoch(objective, params[row : row + 1], {}, [seed], 1)
        assert torch.equal(alone[0], together[row])
        assert torch.equal(loss[0], losses[row])


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": -0.1, "batch_size": 64, "epochs": 1},
        {"learning_rate": 0.1, "batch_size": 0, "epochs": 1},
        {"learning_rate": 0.1, "batch_size": 64, "epochs": 0},
        {"learning_rate": 0.1, "batch_size": 64, "epochs": 1, "momentum": 1.0},
        {"learning_rate": 0.1, "batch_size": 64, "epochs": 1, "nesterov": 0.9},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TopographyError, match="sgd"):
        get_optimizer("sgd", **wrong)
