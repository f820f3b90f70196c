"""Momentum, Adam, weight decay, clipping and schedules against torch.optim, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from reference import data
from reference.networks import build_network, flat_parameters, load_vector, mean_loss
from topography.architectures import get_architecture
from topography.errors import TopographyError
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import minibatch_order
from topography.training import initial_params, train

IMAGES, BATCH_SIZE, EPOCHS = 19, 8, 3
STEPS = 3  # per epoch, the last one smaller


def torch_training(seed: int, start: Tensor, objective: Objective, make, rates=None, clip=None):
    """Train one network with an optimizer of torch.optim; rates: of each step."""
    network = load_vector(build_network("fcp"), start)
    optimizer = make(network.parameters())
    step = 0
    for epoch in range(1, EPOCHS + 1):
        order = minibatch_order([seed], epoch, IMAGES)[0]
        for rows in order.split(BATCH_SIZE):
            if rates is not None:
                optimizer.param_groups[0]["lr"] = rates[step]
            optimizer.zero_grad()
            mean_loss(network, objective.images[rows], objective.labels[rows]).backward()
            if clip is not None:
                # As clip_grad_norm_, which however adds 1e-6 to the length it divides by.
                gradients = [parameter.grad for parameter in network.parameters()]
                length = torch.stack([gradient.norm() for gradient in gradients]).norm()
                for gradient in gradients:
                    gradient.mul_(min(1.0, clip / length))
            optimizer.step()
            step += 1
    return flat_parameters(network)


def scheduled_rates(rate: float) -> list[float]:
    """One epoch of linear warm-up from 0, then half a cosine, from torch's own schedulers."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=rate)
    after = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, (EPOCHS - 1) * IMAGES)
    rates = []
    for image in range(EPOCHS * IMAGES):
        if image < IMAGES:
            rates.append(rate * image / IMAGES)
        else:
            rates.append(after.get_last_lr()[0])
            optimizer.step()
            after.step()
    starts = [epoch * IMAGES + k for epoch in range(EPOCHS) for k in range(0, IMAGES, BATCH_SIZE)]
    return [rates[start] for start in starts]


CASES = {
    "momentum": (
        ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        {},
    ),
    "weight decay": (
        ("sgd", {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5, weight_decay=0.1),
        {},
    ),
    "clipping": (
        ("sgd", {"learning_rate": 0.1, "gradient_clip": 0.3}),
        lambda params: torch.optim.SGD(params, lr=0.1),
        {"clip": 0.3},
    ),
    "clipping, weight decay": (
        ("sgd", {"learning_rate": 0.1, "weight_decay": 0.1, "gradient_clip": 0.3}),
        lambda params: torch.optim.SGD(params, lr=0.1, weight_decay=0.1),
        {"clip": 0.3},
    ),
    "schedule": (
        ("sgd", {"learning_rate": 0.2, "warmup_epochs": 1, "cosine_annealing": True}),
        lambda params: torch.optim.SGD(params, lr=0.2),
        {"rates": scheduled_rates(0.2)},
    ),
    "adam": (
        ("adam", {"learning_rate": 0.01}),
        lambda params: torch.optim.Adam(params, lr=0.01),
        {},
    ),
    "adam, weight decay": (
        ("adam", {"learning_rate": 0.01, "weight_decay": 0.1, "decays": [0.8, 0.9]}),
        lambda params: torch.optim.Adam(params, lr=0.01, weight_decay=0.1, betas=(0.8, 0.9)),
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_training_equals_torch_one_network_at_a_time(case: str) -> None:
    (name, settings), make, others = CASES[case]
    objective = Objective(get_architecture("fcp"), *data.random_images(IMAGES, seed=5))
    optimizer = get_optimizer(name, batch_size=BATCH_SIZE, epochs=EPOCHS, **settings)
    seeds = [0, 3]
    start = initial_params(objective.architecture, seeds).double()
    training = train(objective, objective, optimizer, seeds, start)
    for row, seed in enumerate(seeds):
        expected = torch_training(seed, start[row], objective, make, **others)
        moved = (expected - start[row]).abs().max()
        assert ((training.params[row] - expected).abs().max() / moved).item() < 1e-8


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("sgd", {"epochs": 2.5}),
        ("sgd", {"batch_size": 8.0}),
        ("sgd", {"learning_rate": math.nan}),
        ("sgd", {"weight_decay": -0.1}),
        ("sgd", {"gradient_clip": 0.0}),
        ("sgd", {"warmup_epochs": 2}),
        ("adam", {"decays": [1.0, 0.9]}),
        ("adam", {"decays": [0.9]}),
        ("adam", {"epsilon": 0.0}),
        ("adam", {"momentum": 0.9}),
    ],
)
def test_impossible_settings_are_refused(name: str, wrong: dict[str, object]) -> None:
    with pytest.raises(TopographyError, match=name):
        get_optimizer(name, **{"learning_rate": 0.1, "batch_size": 8, "epochs": 2, **wrong})
