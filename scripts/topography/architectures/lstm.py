"""LSTM over permuted pixels, hidden size 48, dense 48-10 (15,456 parameters).

One matrix product per step makes all gates: [W_hh | W_ih | bias] against hidden state, pixels and
ones, one below the other. Logistic functions are taken as sigmoid(z) = (1 + tanh(z / 2)) / 2, with
the 1 / 2 inside put into the weights (exactly, as a power of two), so that one tanh serves all four
gates. With t the tanh of a gate's (halved) input,

    2 cell'  = (1 + t_forget) cell + (1 + t_input) t_cell
    2 hidden = (1 + t_output) tanh(cell')

and it is 2 hidden that is kept, its factor put into the weights that read it.
"""

import torch
from torch import Tensor

from topography.architectures.base import (
    PIXELS,
    Architecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
)

STEPS, INPUTS = 28, 28
HIDDEN = 48
GATES = 4 * HIDDEN  # in PyTorch's order: input, forget, cell, output
ROWS = HIDDEN + INPUTS + 1  # hidden state, pixels, ones
CLASSES = 10
PERMUTATION_SEED = 1234  # of the authors' code

# On a CPU: images at a time, and networks such that networks * images is about as many. Fewer make
# the calls dominate, more do not fit the caches. The number of images must not depend on the number
# of networks, or the rounding of a network's sums would depend on its batch-mates.
CPU_IMAGES = 256


class LongShortTermMemory(Architecture):
    """One LSTM layer reads 28 steps of 28 permuted pixels, a dense layer classifies its last
    hidden state (paper, Sec. II.1)."""

    name = "lstm"
    parameters = (
        Parameter("lstm.weight_ih_l0", (GATES, INPUTS), HIDDEN),
        Parameter("lstm.weight_hh_l0", (GATES, HIDDEN), HIDDEN),
        Parameter("lstm.bias_ih_l0", (GATES,), HIDDEN),
        Parameter("lstm.bias_hh_l0", (GATES,), HIDDEN),
        Parameter("output.weight", (CLASSES, HIDDEN), HIDDEN),
    )
    activation_floats = STEPS * (ROWS + GATES + 2 * HIDDEN) + 2 * GATES

    def __init__(self) -> None:
        seed = torch.Generator().manual_seed(PERMUTATION_SEED)
        self.permutation = torch.randperm(PIXELS, generator=seed)

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return self._loss_sums(params, images, labels, None)

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        gradients = torch.zeros_like(params)
        return self._loss_sums(params, images, labels, gradients), gradients

    def _loss_sums(
        self, params: Tensor, images: Tensor, labels: Tensor, gradients: Tensor | None
    ) -> Tensor:
        """Loss sums [B], float64; adds their gradients to `gradients` [B, P] where given."""
        networks, count = len(params), images.shape[-2]
        labels = labels.expand(networks, count)
        few_images = CPU_IMAGES if params.device.type == "cpu" else count
        losses = params.new_zeros(networks, dtype=torch.float64)
        work = None
        for first in range(0, count, few_images):
            part = slice(first, min(first + few_images, count))
            size = part.stop - part.start
            few_networks = networks
            if params.device.type == "cpu":
                few_networks = max(1, CPU_IMAGES // size)
            pixels = self._pixels(images[..., part, :])
            for network in range(0, networks, few_networks):
                rows = slice(network, min(network + few_networks, networks))
                shape = (rows.stop - rows.start, size)
                if work is None or work.shape != shape:
                    work = _Workspace(*shape, gradients is not None, params)
                work.pixels.copy_(pixels if images.dim() == 2 else pixels[:, rows])
                cells = _Cells(self.split(params[rows]), work)
                if gradients is None:
                    image_losses = cross_entropy(cells.logits(), labels[rows, part])
                else:
                    image_losses, delta = cross_entropy_and_gradient(
                        cells.logits(), labels[rows, part]
                    )
                    cells.add_gradients(delta, self.split(gradients[rows]))
                losses[rows] += image_losses.sum(-1, dtype=torch.float64)
        return losses

    def _pixels(self, images: Tensor) -> Tensor:
        """What the steps read, [steps, B or 1, 28, n], of images [(B,) n, D]."""
        permuted = images[..., self.permutation.to(images.device)]
        owned = permuted if images.dim() == 3 else permuted.unsqueeze(0)
        return owned.mT.unflatten(1, (STEPS, INPUTS)).transpose(0, 1)


class _Workspace:
    """Memory for B networks and n images. Without gradients, all steps share one set of gates."""

    def __init__(self, networks: int, size: int, gradients: bool, like: Tensor) -> None:
        def zeros(*shape: int) -> Tensor:
            return like.new_zeros(*shape, size)

        self.shape = (networks, size)
        # What each step reads; after the last step, its hidden state only.
        rows = zeros(STEPS + 1, networks, ROWS)
        rows[:, :, -1] = 1.0
        self.pixels = rows[:STEPS, :, HIDDEN:-1]
        self.rows = rows.unbind()
        self.hidden = rows[:, :, :HIDDEN].unbind()  # twice the hidden state

        kept = STEPS if gradients else 1
        repeats = STEPS // kept
        self.gates = list(zeros(kept, networks, GATES).unbind()) * repeats
        self.gate_parts = [gates.split(HIDDEN, dim=1) for gates in self.gates]
        self.squashed = list(zeros(kept, networks, HIDDEN).unbind()) * repeats  # tanh(cell)
        self.first_cell = zeros(networks, HIDDEN)
        self.cells = list(zeros(kept, networks, HIDDEN).unbind()) * repeats  # after each step
        self.scratch = zeros(networks, HIDDEN)

        self.delta_gates = zeros(networks, GATES)
        self.delta_parts = self.delta_gates.split(HIDDEN, dim=1)
        self.delta_cell = zeros(networks, HIDDEN)
        self.delta_hidden = zeros(networks, HIDDEN)


class _Cells:
    """The LSTM of B networks, and the dense layer behind it, on the n images of a workspace."""

    def __init__(self, blocks: dict[str, Tensor], work: _Workspace) -> None:
        self.work = work
        weight = blocks["lstm.weight_hh_l0"]
        self.scale = _scale(weight)
        bias = blocks["lstm.bias_ih_l0"] + blocks["lstm.bias_hh_l0"]
        matrix = torch.cat([weight, blocks["lstm.weight_ih_l0"], bias.unsqueeze(2)], dim=2)
        self.matrix = matrix.mul_(self.scale)  # [B, 192, 77]
        self.output = blocks["output.weight"] / 2.0

    def logits(self) -> Tensor:
        """Logits [B, 10, n]."""
        work = self.work
        previous = work.first_cell
        for step in range(STEPS):
            gates, cell, squashed = work.gates[step], work.cells[step], work.squashed[step]
            torch.bmm(self.matrix, work.rows[step], out=gates)
            gates.tanh_()
            enter, forget, candidate, leave = work.gate_parts[step]
            torch.addcmul(candidate, candidate, enter, out=work.scratch)
            torch.addcmul(previous, previous, forget, out=cell)
            cell.lerp_(work.scratch, 0.5)
            torch.tanh(cell, out=squashed)
            torch.addcmul(squashed, squashed, leave, out=work.hidden[step + 1])
            previous = cell
        return torch.bmm(self.output, work.hidden[-1])

    def add_gradients(self, delta: Tensor, sums: dict[str, Tensor]) -> None:
        """Backpropagation through time: adds to the gradients, given those for the logits."""
        work = self.work
        sums["output.weight"].add_(torch.bmm(delta, work.hidden[-1].mT), alpha=0.5)
        torch.bmm(self.output.mT, delta, out=work.delta_hidden)
        matrix_sums = torch.zeros_like(self.matrix.mT)
        recurrent = self.matrix[:, :, :HIDDEN].mT.contiguous()
        delta_enter, delta_forget, delta_candidate, delta_leave = work.delta_parts
        delta_cell, delta_hidden = work.delta_cell.zero_(), work.delta_hidden
        for step in reversed(range(STEPS)):
            enter, forget, candidate, leave = work.gate_parts[step]
            squashed = work.squashed[step]
            previous = work.cells[step - 1] if step > 0 else work.first_cell
            torch.mul(delta_hidden, squashed, out=delta_leave)
            # The mean of both ways into the cell is half their sum: the gradient for 2 cell.
            torch.addcmul(delta_hidden, delta_hidden, leave, out=work.scratch)
            _through_tanh_(work.scratch, squashed)
            delta_cell.lerp_(work.scratch, 0.5)
            torch.mul(delta_cell, candidate, out=delta_enter)
            torch.mul(delta_cell, previous, out=delta_forget)
            torch.addcmul(delta_cell, delta_cell, enter, out=delta_candidate)
            delta_cell.addcmul_(delta_cell, forget)
            _through_tanh_(work.delta_gates, work.gates[step])
            matrix_sums.baddbmm_(work.rows[step], work.delta_gates.mT)
            torch.bmm(recurrent, work.delta_gates, out=delta_hidden)
        hidden, inputs, bias = (matrix_sums.mT * self.scale).split([HIDDEN, INPUTS, 1], dim=2)
        sums["lstm.weight_hh_l0"] += hidden
        sums["lstm.weight_ih_l0"] += inputs
        sums["lstm.bias_ih_l0"] += bias.squeeze(2)
        sums["lstm.bias_hh_l0"] += bias.squeeze(2)


def _scale(like: Tensor) -> Tensor:
    """Factors [192, 77] of the weights: 1/2 for the logistic gates, and for the hidden state."""
    scale = like.new_full((GATES, ROWS), 0.5)
    scale[2 * HIDDEN : 3 * HIDDEN] = 1.0
    scale[:, :HIDDEN] *= 0.5
    return scale


def _through_tanh_(delta: Tensor, value: Tensor) -> None:
    """delta *= 1 - value^2, in one pass."""
    torch.ops.aten.tanh_backward.grad_input(delta, value, grad_input=delta)


ARCHITECTURE = LongShortTermMemory
