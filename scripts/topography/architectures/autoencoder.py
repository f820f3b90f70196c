"""Autoencoder 784-32-32, 32-32-784 without biases (52,224 parameters)."""

import torch
from torch import Tensor

from topography.architectures.base import PIXELS, DenseInputArchitecture, Parameter, get_activation

HIDDEN = 32


class Autoencoder(DenseInputArchitecture):
    """Encoder and decoder of two dense layers each, logistic output (paper, Sec. II.1).

    The loss of an image is the squared error averaged over its pixels; labels are not used.
    """

    name = "autoencoder"
    parameters = (
        Parameter("encoder_1.weight", (HIDDEN, PIXELS), PIXELS),
        Parameter("encoder_2.weight", (HIDDEN, HIDDEN), HIDDEN),
        Parameter("decoder_1.weight", (HIDDEN, HIDDEN), HIDDEN),
        Parameter("decoder_2.weight", (PIXELS, HIDDEN), HIDDEN),
    )
    activation_floats = 9 * HIDDEN + 2 * PIXELS

    def __init__(self, activation: str = "softplus") -> None:
        self.activation = get_activation(activation)

    def _head_weights(self, head_params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        square = HIDDEN * HIDDEN
        second, third, fourth = head_params.split([square, square, PIXELS * HIDDEN], dim=1)
        return (
            second.unflatten(1, (HIDDEN, HIDDEN)),
            third.unflatten(1, (HIDDEN, HIDDEN)),
            fourth.unflatten(1, (PIXELS, HIDDEN)),
        )

    def _head_losses(self, features: Tensor, head_params: Tensor, images: Tensor) -> Tensor:
        second_weights, third_weights, output_weights = self._head_weights(head_params)
        first = self.activation.value(features)
        second = self.activation.value(torch.bmm(second_weights, first))
        third = self.activation.value(torch.bmm(third_weights, second))
        error = _reconstruction(output_weights, third).sub_(images.mT)
        return error.square().mean(1)

    def head_loss_sums(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        return self._head_losses(features, head_params, images).sum(-1, dtype=torch.float64)

    def head_loss_sums_and_gradients(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        second_weights, third_weights, output_weights = self._head_weights(head_params)
        first, first_slope = self.activation.value_and_slope(features)
        second, second_slope = self.activation.value_and_slope(torch.bmm(second_weights, first))
        third, third_slope = self.activation.value_and_slope(torch.bmm(third_weights, second))
        reconstruction = _reconstruction(output_weights, third)
        error = reconstruction - images.mT
        losses = error.square().mean(1)
        # d/dz of (sigmoid(z) - x)^2 / D, in place in the error
        output_delta = error.mul_(2.0 / PIXELS).mul_(reconstruction)
        output_delta.mul_(reconstruction.neg_().add_(1.0))
        output_gradients = torch.bmm(output_delta, third.mT)
        third_delta = torch.bmm(output_weights.mT, output_delta).mul_(third_slope)
        third_gradients = torch.bmm(third_delta, second.mT)
        second_delta = torch.bmm(third_weights.mT, third_delta).mul_(second_slope)
        second_gradients = torch.bmm(second_delta, first.mT)
        feature_gradients = torch.bmm(second_weights.mT, second_delta).mul_(first_slope)
        head_gradients = torch.cat(
            [
                second_gradients.flatten(1),
                third_gradients.flatten(1),
                output_gradients.flatten(1),
            ],
            dim=1,
        )
        return losses.sum(-1, dtype=torch.float64), feature_gradients, head_gradients


def _reconstruction(output_weights: Tensor, hidden: Tensor) -> Tensor:
    """Logistic function of the output layer, [B, D, n].

    Not torch.sigmoid: on a CPU its last bits depend on where an element lies in the batch.
    """
    return torch.bmm(output_weights.neg(), hidden).exp_().add_(1.0).reciprocal_()


ARCHITECTURE = Autoencoder
