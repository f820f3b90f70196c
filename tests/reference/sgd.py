"""Minibatch SGD on one network (spec section 3): no momentum, a loop over index lists."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reference.networks import build_network, flat_parameters, load_vector, mean_loss


def run_sgd(
    name: str,
    vector: Tensor,
    images: Tensor,
    labels: Tensor,
    minibatches: Sequence[Sequence[int]],
    learning_rate: float,
    activation: str = "softplus",
) -> Tensor:
    """Return the parameters [P] after one step per minibatch (a list of image indices)."""
    network = load_vector(build_network(name, activation), vector)
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    for minibatch in minibatches:
        rows = torch.tensor(list(minibatch))
        optimizer.zero_grad()
        mean_loss(network, images[rows], labels[rows]).backward()
        optimizer.step()
    return flat_parameters(network)
