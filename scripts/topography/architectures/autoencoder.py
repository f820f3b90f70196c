"""Autoencoder 784-32-32, 32-32-784 without biases (52,224 parameters)."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from topography.architectures.base import (
    PIXELS,
    DenseInputArchitecture,
    Parameter,
    get_activation,
    logistic,
    times_slope,
)
from topography.device import gpu_numbers

HIDDEN = 32

# The output layer, 784 numbers for each network and image, is cut smaller than what is before it:
# on a CPU one network at a time meets this many images at most, so that the numbers and the errors
# made of them stay in its caches; on a GPU as many networks as its memory allows.
CPU_OUTPUT_IMAGES = 256


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
    activation_floats = 9 * HIDDEN  # the output layer has a budget of its own

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

    def head_loss_sums(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        second_weights, third_weights, output_weights = self._head_weights(head_params)
        first = self.activation.value(features)
        second = self.activation.value(torch.bmm(second_weights, first))
        third = self.activation.value(torch.bmm(third_weights, second))
        losses = features.new_zeros(len(features), dtype=torch.float64)
        for block in _outputs(output_weights, third, images):
            error = block.reconstruction.sub_(block.images)
            losses[block.rows] += _mean_square_sums(error.mul_(error))
        return losses

    def head_loss_sums_and_gradients(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        second_weights, third_weights, output_weights = self._head_weights(head_params)
        activate = self.activation.value_and_complement
        first, first_complement = activate(features)
        second, second_complement = activate(torch.bmm(second_weights, first))
        third, third_complement = activate(torch.bmm(third_weights, second))
        losses = features.new_zeros(len(features), dtype=torch.float64)
        output_gradients = features.new_zeros(output_weights.shape)
        third_delta = torch.empty_like(third)
        error = square = None
        for block in _outputs(output_weights, third, images):
            rows, part, reconstruction = block.rows, block.part, block.reconstruction
            if error is None or error.shape != reconstruction.shape:
                error, square = reconstruction.new_empty(2, *reconstruction.shape)
            torch.sub(reconstruction, block.images, out=error)
            losses[rows] += _mean_square_sums(torch.mul(error, error, out=square))
            # d/dz of D / 2 times the losses: error * r (1 - r)
            delta = torch.ops.aten.sigmoid_backward.grad_input(
                error, reconstruction, grad_input=error
            )
            output_gradients[rows].baddbmm_(delta, third[rows, :, part].mT)
            torch.bmm(output_weights[rows].mT, delta, out=third_delta[rows, :, part])
        # The 2 / D of d/dz of (sigmoid(z) - x)^2 / D, where there are fewest numbers.
        output_gradients.mul_(2.0 / PIXELS)
        times_slope(third_delta.mul_(2.0 / PIXELS), third_complement)
        third_gradients = torch.bmm(third_delta, second.mT)
        second_delta = times_slope(torch.bmm(third_weights.mT, third_delta), second_complement)
        second_gradients = torch.bmm(second_delta, first.mT)
        feature_gradients = times_slope(
            torch.bmm(second_weights.mT, second_delta), first_complement
        )
        head_gradients = torch.cat(
            [
                second_gradients.flatten(1),
                third_gradients.flatten(1),
                output_gradients.flatten(1),
            ],
            dim=1,
        )
        return losses, feature_gradients, head_gradients


class _Block(NamedTuple):
    """The output layer for some of the networks, b, and of the images, n: slices of them all."""

    rows: slice
    part: slice
    reconstruction: Tensor  # [b, D, n]
    images: Tensor  # [b, D, n]


def _outputs(weights: Tensor, hidden: Tensor, images: Tensor) -> Iterator[_Block]:
    """The output layers of weights [B, D, H] on hidden units [B, H, n], some at a time.

    Each takes the memory of the one before.
    """
    networks, _, count = hidden.shape
    few_networks, few_images = _at_a_time(networks, count, hidden.device)
    targets = images.mT.expand(networks, PIXELS, count)
    memory = None
    for first in range(0, count, few_images):
        part = slice(first, min(first + few_images, count))
        for row in range(0, networks, few_networks):
            rows = slice(row, min(row + few_networks, networks))
            shape = (rows.stop - row, PIXELS, part.stop - first)
            if memory is None or memory.shape != shape:
                memory = hidden.new_empty(shape)
            torch.bmm(weights[rows], hidden[rows, :, part], out=memory)
            logistic(memory, out=memory)
            yield _Block(rows, part, memory, targets[rows, :, part])


def _mean_square_sums(squares: Tensor) -> Tensor:
    """Sums over the images of the means over the pixels, [b], float64, of squares [b, D, n]."""
    return squares.sum(1).sum(-1, dtype=torch.float64) / PIXELS


def _at_a_time(networks: int, count: int, device: torch.device) -> tuple[int, int]:
    """How many of the networks, and of `count` images, to work on at a time."""
    if device.type != "cpu":
        return min(max(gpu_numbers() // 4 // (PIXELS * count), 1), networks), count
    parts = math.ceil(count / CPU_OUTPUT_IMAGES)
    return 1, math.ceil(count / parts / 16) * 16  # parts alike, and filled vectors


ARCHITECTURE = Autoencoder
