"""Fully connected perceptron 784-50-50-10 without biases (42,200 parameters)."""

import torch
from torch import Tensor

from topography.architectures.base import (
    PIXELS,
    DenseInputArchitecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
    get_activation,
    times_slope,
)

HIDDEN = 50
CLASSES = 10


class FullyConnectedPerceptron(DenseInputArchitecture):
    """Two hidden layers of 50 units and a softmax classifier (paper, Sec. II.1)."""

    name = "fcp"
    parameters = (
        Parameter("hidden_1.weight", (HIDDEN, PIXELS), PIXELS),
        Parameter("hidden_2.weight", (HIDDEN, HIDDEN), HIDDEN),
        Parameter("output.weight", (CLASSES, HIDDEN), HIDDEN),
    )
    activation_floats = 6 * HIDDEN + 2 * CLASSES

    def __init__(self, activation: str = "softplus") -> None:
        self.activation = get_activation(activation)

    def _head_weights(self, head_params: Tensor) -> tuple[Tensor, Tensor]:
        hidden, output = head_params.split([HIDDEN * HIDDEN, CLASSES * HIDDEN], dim=1)
        return hidden.unflatten(1, (HIDDEN, HIDDEN)), output.unflatten(1, (CLASSES, HIDDEN))

    def _head_losses(self, features: Tensor, head_params: Tensor, labels: Tensor) -> Tensor:
        hidden_weights, output_weights = self._head_weights(head_params)
        first = self.activation.value(features)
        second = self.activation.value(torch.bmm(hidden_weights, first))
        return cross_entropy(torch.bmm(output_weights, second), labels)

    def head_loss_sums(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        return self._head_losses(features, head_params, labels).sum(-1, dtype=torch.float64)

    def head_loss_sums_and_gradients(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        hidden_weights, output_weights = self._head_weights(head_params)
        activate = self.activation.value_and_complement
        first, first_complement = activate(features)
        second, second_complement = activate(torch.bmm(hidden_weights, first))
        losses, logit_gradients = cross_entropy_and_gradient(
            torch.bmm(output_weights, second), labels
        )
        output_gradients = torch.bmm(logit_gradients, second.mT)
        second_gradients = times_slope(
            torch.bmm(output_weights.mT, logit_gradients), second_complement
        )
        hidden_gradients = torch.bmm(second_gradients, first.mT)
        feature_gradients = times_slope(
            torch.bmm(hidden_weights.mT, second_gradients), first_complement
        )
        head_gradients = torch.cat(
            [hidden_gradients.flatten(1), output_gradients.flatten(1)], dim=1
        )
        return losses.sum(-1, dtype=torch.float64), feature_gradients, head_gradients


ARCHITECTURE = FullyConnectedPerceptron
