"""LSTM that reads an image as 28 steps of 28 permuted pixels (15,456 parameters).

Each step is one matrix product: the weights [192, 28 + 48 + 1] of pixels, hidden state and bias
times the *inputs* [77, n] of the step, into which the step before has written the hidden state.
Gates, cell states and inputs of all steps are kept for the backward pass, where everything that
does not depend on later steps is computed for all steps at once.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from topography.architectures.base import (
    Architecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
)

STEPS = 28
PIXELS_PER_STEP = 28
HIDDEN = 48
GATES = 4 * HIDDEN
INPUTS = PIXELS_PER_STEP + HIDDEN + 1  # the last row is 1, for the bias
CLASSES = 10
PERMUTATION_SEED = 1234  # of the authors' code

# On a CPU, networks go one by one over this many images at a time: enough arithmetic to make the
# cost of a call negligible, few enough for the outer caches. The blocks of images must not depend
# on the number of networks: a network's sum would then depend on its batch-mates.
CPU_IMAGES = 256


class LSTM(Architecture):
    """One LSTM layer; a dense layer classifies its last hidden state (paper, Sec. II.1)."""

    name = "lstm"
    parameters = (
        Parameter("lstm.weight_ih_l0", (GATES, PIXELS_PER_STEP), HIDDEN),
        Parameter("lstm.weight_hh_l0", (GATES, HIDDEN), HIDDEN),
        Parameter("lstm.bias_ih_l0", (GATES,), HIDDEN),
        Parameter("lstm.bias_hh_l0", (GATES,), HIDDEN),
        Parameter("output.weight", (CLASSES, HIDDEN), HIDDEN),
    )
    activation_floats = STEPS * (2 * GATES + INPUTS + 4 * HIDDEN)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(PERMUTATION_SEED)
        self._permutation = torch.randperm(STEPS * PIXELS_PER_STEP, generator=generator)

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        losses = params.new_zeros(len(params), dtype=torch.float64)
        labels = labels.expand(len(params), -1)
        for networks, part, steps in self._blocks(params, images):
            weights, output_weights = self._weights(params[networks])
            hidden = _last_hidden_state(weights, steps)
            image_losses = cross_entropy(torch.bmm(output_weights, hidden), labels[networks, part])
            losses[networks] += image_losses.sum(-1, dtype=torch.float64)
        return losses

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        losses = params.new_zeros(len(params), dtype=torch.float64)
        gradients = torch.zeros_like(params)
        labels = labels.expand(len(params), -1)
        for networks, part, steps in self._blocks(params, images):
            weights, output_weights = self._weights(params[networks])
            trace = _Trace(weights, steps)
            logits = torch.bmm(output_weights, trace.hidden)
            image_losses, delta = cross_entropy_and_gradient(logits, labels[networks, part])
            losses[networks] += image_losses.sum(-1, dtype=torch.float64)
            blocks = self.split(gradients[networks])  # views to add to
            blocks["output.weight"] += torch.bmm(delta, trace.hidden.mT)
            weight_gradients = trace.backward(torch.bmm(output_weights.mT, delta))
            pixels, hidden, bias = weight_gradients.split([PIXELS_PER_STEP, HIDDEN, 1], dim=2)
            blocks["lstm.weight_ih_l0"] += pixels
            blocks["lstm.weight_hh_l0"] += hidden
            blocks["lstm.bias_ih_l0"] += bias.squeeze(2)
            blocks["lstm.bias_hh_l0"] += bias.squeeze(2)
        return losses, gradients

    def _weights(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [B, 192, 77] of a step, and of the output layer, [B, 10, 48]."""
        blocks = self.split(params)
        bias = blocks["lstm.bias_ih_l0"] + blocks["lstm.bias_hh_l0"]
        step = [blocks["lstm.weight_ih_l0"], blocks["lstm.weight_hh_l0"], bias.unsqueeze(2)]
        return torch.cat(step, dim=2), blocks["output.weight"]

    def _blocks(self, params: Tensor, images: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Slices of the networks and of the images to work on, and the pixels of these images.

        The pixels are [28, b, 28, n], by step; b is 1 where networks share images.
        """
        networks, count = len(params), images.shape[-2]
        few_networks, few_images = networks, count
        if params.device.type == "cpu":
            few_networks, few_images = 1, CPU_IMAGES
        for first in range(0, count, few_images):
            part = slice(first, min(first + few_images, count))
            shared = None if images.dim() == 3 else self._steps(images[part].unsqueeze(0))
            for network in range(0, networks, few_networks):
                rows = slice(network, network + few_networks)
                yield rows, part, self._steps(images[rows, part]) if shared is None else shared

    def _steps(self, images: Tensor) -> Tensor:
        """Permuted pixels by step, [28, b, 28, n], of images [b, n, 784]."""
        permuted = images[..., self._permutation.to(images.device)].mT.contiguous()
        return permuted.unflatten(1, (STEPS, PIXELS_PER_STEP)).transpose(0, 1)


def _last_hidden_state(weights: Tensor, steps: Tensor) -> Tensor:
    """Hidden state [B, 48, n] after the last step, for weights [B, 192, 77] and pixels by step."""
    networks, images = len(weights), steps.shape[-1]
    inputs = weights.new_empty(networks, INPUTS, images)
    inputs[:, -1] = 1.0
    hidden = inputs[:, PIXELS_PER_STEP:-1].zero_()
    gates = weights.new_empty(networks, GATES, images)
    cell = torch.zeros_like(hidden)
    for pixels in steps:
        inputs[:, :PIXELS_PER_STEP] = pixels
        torch.bmm(weights, inputs, out=gates)
        enter, forget, new, leave = _activated(gates)
        cell.mul_(forget).addcmul_(enter, new)
        torch.mul(leave, torch.tanh(cell), out=hidden)
    return hidden.contiguous()


def _activated(gates: Tensor) -> tuple[Tensor, ...]:
    """The four gates, each [B, 48, n], activated in place in the products [B, 192, n]."""
    enter, forget, new, leave = gates.split(HIDDEN, dim=1)  # PyTorch's order
    gates[:, : 2 * HIDDEN].sigmoid_()
    new.tanh_()
    leave.sigmoid_()
    return enter, forget, new, leave


class _Trace:
    """All that the backward pass needs of the forward pass; step first in every shape."""

    def __init__(self, weights: Tensor, steps: Tensor) -> None:
        """weights: [B, 192, 77]; steps: pixels by step, [28, B or 1, 28, n]."""
        networks, images = len(weights), steps.shape[-1]
        self.weights = weights
        self.inputs = weights.new_empty(STEPS + 1, networks, INPUTS, images)
        self.inputs[:-1, :, :PIXELS_PER_STEP] = steps
        self.inputs[:, :, -1] = 1.0
        self.gates = weights.new_empty(STEPS, networks, GATES, images)
        self.cells = weights.new_empty(STEPS + 1, networks, HIDDEN, images)
        self.squashed = weights.new_empty(STEPS, networks, HIDDEN, images)  # tanh of the cells
        hidden = self.inputs[:, :, PIXELS_PER_STEP:-1]
        hidden[0] = 0.0
        self.cells[0] = 0.0
        for step in range(STEPS):
            torch.bmm(weights, self.inputs[step], out=self.gates[step])
            enter, forget, new, leave = _activated(self.gates[step])
            cell = torch.mul(forget, self.cells[step], out=self.cells[step + 1])
            cell.addcmul_(enter, new)
            torch.tanh(cell, out=self.squashed[step])
            torch.mul(leave, self.squashed[step], out=hidden[step + 1])
        self.hidden = hidden[-1].contiguous()

    def backward(self, hidden_gradient: Tensor) -> Tensor:
        """Gradient [B, 192, 77] for the weights from that for the last hidden state [B, 48, n]."""
        enter, forget, new, leave = self.gates.split(HIDDEN, dim=2)
        # Gradients for the products of the gates, up to a factor that later steps decide: the
        # gradient for the cell (first three gates) or for the hidden state (the last).
        slopes = torch.empty_like(self.gates)
        to_enter, to_forget, to_new, to_leave = slopes.split(HIDDEN, dim=2)
        torch.addcmul(enter, enter, enter, value=-1, out=to_enter).mul_(new)
        torch.addcmul(forget, forget, forget, value=-1, out=to_forget).mul_(self.cells[:-1])
        torch.mul(new, new, out=to_new).neg_().add_(1.0).mul_(enter)
        torch.addcmul(leave, leave, leave, value=-1, out=to_leave).mul_(self.squashed)
        hidden_to_cell = self.squashed.square_().neg_().add_(1.0).mul_(leave)

        recurrent = self.weights[:, :, PIXELS_PER_STEP:-1].mT.contiguous()
        cell_gradient = torch.zeros_like(hidden_gradient)
        for step in range(STEPS - 1, -1, -1):
            cell_gradient.addcmul_(hidden_gradient, hidden_to_cell[step])
            of_cell = slopes[step, :, : 3 * HIDDEN].unflatten(1, (3, HIDDEN))
            of_cell.mul_(cell_gradient.unsqueeze(1))
            to_leave[step].mul_(hidden_gradient)
            if step > 0:
                hidden_gradient = torch.bmm(recurrent, slopes[step])
                cell_gradient.mul_(forget[step])
        products = torch.matmul(slopes, self.inputs[:-1].mT)  # [28, B, 192, 77]
        return products.sum(0)


ARCHITECTURE = LSTM
