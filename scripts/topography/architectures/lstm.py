"""LSTM over permuted pixels, hidden size 48, dense 48-10 (15,456 parameters).

One matrix product per step makes all gates: [W_hh | W_ih | bias] against hidden state, pixels and
ones, one below the other. Hyperbolic tangents are taken as tanh(z) = 1 - 2 sigmoid(-2 z), since the
logistic function costs a sixth of them in torch on a CPU: one serves all gates. The inner -2 goes,
exactly, into the weights of the candidate and into the cell, of which C = -2 cell is kept. So, with
`candidate` and `squashed` for these logistic functions, a step is

    C'       =  forget C  -  2 input (1 - 2 candidate)
    squashed =  sigmoid(C')
    hidden'  =  output (1 - 2 squashed)

In float32 such a tanh errs by 1e-7, also where it is small itself. The sums that enter it are
rounded as coarsely: losses and gradients are as accurate as with torch.tanh (measured).

On processors with AVX-512 torch's own LSTM serves instead, a network at a time: there it takes 0.6
of the time for losses and 0.75 of that for gradients, elsewhere more (`_suits_torch`).
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from topography.architectures.base import (
    PIXELS,
    BlockwiseArchitecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
)

STEPS, INPUTS = 28, 28
HIDDEN = 48
GATES = 4 * HIDDEN  # in the parameters: input, forget, candidate, output
ROWS = HIDDEN + INPUTS + 1  # what a step reads: hidden state, pixels, ones
CLASSES = 10
PERMUTATION_SEED = 1234  # of the authors' code

# On a CPU, images at a time; where there are fewer, networks are taken together up to this product.
# With less the calls dominate. The images at a time must not depend on the number of networks, or
# the rounding of a network's sums would depend on its batch-mates.
CPU_IMAGES = 1024
TORCH_IMAGES = 128  # with 1024, gradients take twice as long

# Rows of images are filled up to a multiple of this many, 64 bytes or more: where rows begin at
# different alignments, products of small matrices round differently from network to network.
ROW_MULTIPLE = 16


class LongShortTermMemory(BlockwiseArchitecture):
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
    activation_floats = STEPS * (ROWS + GATES + 2 * HIDDEN) + 2 * GATES + PIXELS

    def block_loss_sums(
        self, params: Tensor, images: Tensor, labels: Tensor, gradients: Tensor | None
    ) -> Tensor:
        by = self.sums_by_torch if _suits_torch(params) else self.batched_sums
        return by(params, images, labels, gradients)

    def sums_by_torch(
        self, params: Tensor, images: Tensor, labels: Tensor, gradients: Tensor | None
    ) -> Tensor:
        """Loss sums, and gradients where wanted, by torch's own LSTM, one network at a time."""
        count = images.shape[-2]
        labels = labels.expand(len(params), count)
        losses = params.new_zeros(len(params), dtype=torch.float64)
        for first in range(0, count, TORCH_IMAGES):
            part = slice(first, first + TORCH_IMAGES)
            pixels = self._pixels(images[..., part, :]).permute(1, 0, 3, 2).contiguous()
            pixels = pixels.expand(len(params), -1, -1, -1)  # [B, steps, n, 28]
            for row, vector in enumerate(params):
                with torch.set_grad_enabled(gradients is not None):
                    leaf = vector.detach().requires_grad_(gradients is not None)
                    logits = self._torch_logits(leaf, pixels[row])
                    image_losses = cross_entropy(logits.unsqueeze(0), labels[row : row + 1, part])
                    loss = image_losses.sum(dtype=torch.float64)
                    if gradients is not None:
                        gradients[row] += torch.autograd.grad(loss, leaf)[0]
                losses[row] += loss.detach()
        return losses

    def _torch_logits(self, vector: Tensor, pixels: Tensor) -> Tensor:
        """Logits [10, n] of the network with parameters [P], for pixels [steps, n, 28]."""
        *weights, output = self.split(vector).values()
        nothing = pixels.new_zeros(1, pixels.shape[1], HIDDEN)
        _, hidden, _ = torch.lstm(
            pixels,
            (nothing, nothing),
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=vector.requires_grad,
            bidirectional=False,
            batch_first=False,
        )
        return output @ hidden[0].mT

    def batched_sums(
        self, params: Tensor, images: Tensor, labels: Tensor, gradients: Tensor | None
    ) -> Tensor:
        """Loss sums, and gradients where wanted, of networks side by side."""
        count, shared = images.shape[-2], images.dim() == 2
        labels = labels.expand(len(params), count)
        few_networks, few_images = _at_a_time(params, count)
        losses = params.new_zeros(len(params), dtype=torch.float64)
        work = None
        for first in range(0, count, few_images):
            part = slice(first, min(first + few_images, count))
            pixels = self._pixels(images[..., part, :])
            for row in range(0, len(params), few_networks):
                rows = slice(row, min(row + few_networks, len(params)))
                size = part.stop - part.start
                fill = -size % ROW_MULTIPLE
                shape = (rows.stop - rows.start, size + fill)
                if work is None or work.shape != shape:
                    work = _Workspace(*shape, gradients is not None, params)
                work.pixels[..., :size] = pixels if shared else pixels[:, rows]
                run = _Run(self.split(params[rows]), work)
                logits = run.logits()[..., :size]
                if gradients is None:
                    image_losses = cross_entropy(logits, labels[rows, part])
                else:
                    image_losses, delta = cross_entropy_and_gradient(logits, labels[rows, part])
                    run.add_gradients(pad(delta, (0, fill)), self.split(gradients[rows]))
                losses[rows] += image_losses.sum(-1, dtype=torch.float64)
        return losses

    def _pixels(self, images: Tensor) -> Tensor:
        """What the steps read, [steps, B or 1, 28, n], of images [(B,) n, D]."""
        if images.dim() == 2:
            images = images.unsqueeze(0)
        # Transposed first: the permutation then moves whole rows of images, not single pixels.
        pixels = images.mT.contiguous().index_select(1, _permutation(images.device))
        return pixels.unflatten(1, (STEPS, INPUTS)).transpose(0, 1)


def _suits_torch(params: Tensor) -> bool:
    """Whether torch's own LSTM is the faster one (measured)."""
    return (
        params.device.type == "cpu"
        and params.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


def _at_a_time(params: Tensor, count: int) -> tuple[int, int]:
    """How many of the networks, and of `count` images, to work on at a time."""
    if params.device.type != "cpu":
        return len(params), count
    images = min(count, CPU_IMAGES)
    return CPU_IMAGES // images, images


class _State(NamedTuple):
    """The cell that a step starts from, and its gates; views of one tensor [B, 5, 48, n]."""

    cell: Tensor  # -2 c, [B, 48, n], as each gate
    input: Tensor
    forget: Tensor
    candidate: Tensor
    output: Tensor
    gates: Tensor  # the four, [B, 192, n]
    cell_input: Tensor  # [B, 2, 48, n]
    forget_candidate: Tensor  # [B, 2, 48, n]

    @classmethod
    def of(cls, blocks: Tensor) -> "_State":
        gates = blocks[:, 1:].flatten(1, 2)
        return cls(*blocks.unbind(1), gates, blocks[:, :2], blocks[:, 2:4])


class _Workspace:
    """Memory for B networks and n images. Without gradients, all steps share one state."""

    def __init__(self, networks: int, size: int, gradients: bool, like: Tensor) -> None:
        def empty(*shape: int) -> Tensor:
            return like.new_empty(*shape, size)

        self.shape = (networks, size)
        # What each step reads; after the last step, its hidden state only.
        rows = empty(STEPS + 1, networks, ROWS).zero_()
        rows[:, :, -1] = 1.0
        self.pixels = rows[:STEPS, :, HIDDEN:-1]
        self.rows = rows.unbind()
        self.hidden = rows[:, :, :HIDDEN].unbind()

        kept, repeats = (STEPS + 1, 1) if gradients else (1, STEPS + 1)
        self.states = [_State.of(blocks) for blocks in empty(kept, networks, 5, HIDDEN)] * repeats
        self.squashed = list(empty(kept, networks, HIDDEN)) * repeats  # sigmoid of the next cell
        self.entering = empty(networks, HIDDEN)
        self.delta = _State.of(empty(networks, 5, HIDDEN))
        self.delta_hidden = empty(networks, HIDDEN)


class _Run:
    """The LSTM of B networks, and the dense layer behind it, on the n images of a workspace."""

    def __init__(self, blocks: dict[str, Tensor], work: _Workspace) -> None:
        self.work = work
        weight = blocks["lstm.weight_hh_l0"]
        bias = blocks["lstm.bias_ih_l0"] + blocks["lstm.bias_hh_l0"]
        matrix = torch.cat([weight, blocks["lstm.weight_ih_l0"], bias.unsqueeze(2)], dim=2)
        self.matrix = matrix * _factors(weight.device, weight.dtype, candidate=-2.0)  # [B, 192, 77]
        self.output = blocks["output.weight"]

    def logits(self) -> Tensor:
        """Logits [B, 10, n]."""
        work = self.work
        work.states[0].cell.zero_()
        for step in range(STEPS):
            state, cell = work.states[step], work.states[step + 1].cell
            squashed = work.squashed[step]
            torch.bmm(self.matrix, work.rows[step], out=state.gates)
            state.gates.sigmoid_()
            _times_tanh(state.input, state.candidate, out=work.entering)
            torch.mul(state.forget, state.cell, out=cell)
            cell.add_(work.entering, alpha=-2.0)
            torch.sigmoid(cell, out=squashed)
            _times_tanh(state.output, squashed, out=work.hidden[step + 1])
        return torch.bmm(self.output, work.hidden[-1])

    def add_gradients(self, delta_logits: Tensor, sums: dict[str, Tensor]) -> None:
        """Backpropagation through time: adds to the gradients, given those for the logits."""
        work = self.work
        sums["output.weight"].baddbmm_(delta_logits, work.hidden[-1].mT)
        matrix_sums = torch.zeros_like(self.matrix.mT)
        # What is computed for the gates below lacks these factors.
        kind = self.matrix.device, self.matrix.dtype
        factors = _factors(*kind, forget=-0.5, candidate=-2.0)
        recurrent = (self.matrix[:, :, :HIDDEN] * factors).mT.contiguous()
        delta, delta_gates_t = work.delta, work.delta.gates.mT
        delta_hidden = torch.bmm(self.output.mT, delta_logits, out=work.delta_hidden)
        delta_entering, through_hidden = delta.cell, work.entering
        delta_entering.zero_()
        for step in reversed(range(STEPS)):
            state, squashed = work.states[step], work.squashed[step]
            _times_tanh(delta_hidden, squashed, out=delta.output)
            torch.mul(delta_hidden, state.output, out=through_hidden)
            _through_sigmoid_(through_hidden, squashed)
            delta_entering.add_(through_hidden, alpha=4.0)
            _times_tanh(delta_entering, state.candidate, out=delta.input)
            torch.mul(delta_entering.unsqueeze(1), state.cell_input, out=delta.forget_candidate)
            _through_sigmoid_(delta.gates, state.gates)
            matrix_sums.baddbmm_(work.rows[step], delta_gates_t)
            if step > 0:
                delta_entering.mul_(state.forget)
                torch.bmm(recurrent, delta.gates, out=delta_hidden)
        matrix_sums = matrix_sums.mT * (factors * _factors(*kind, candidate=-2.0))
        hidden, inputs, bias = matrix_sums.split([HIDDEN, INPUTS, 1], dim=2)
        sums["lstm.weight_hh_l0"] += hidden
        sums["lstm.weight_ih_l0"] += inputs
        sums["lstm.bias_ih_l0"] += bias.squeeze(2)
        sums["lstm.bias_hh_l0"] += bias.squeeze(2)


@functools.cache  # a copy from the processor makes it wait for a GPU
def _permutation(device: torch.device) -> Tensor:
    """The order in which the pixels of an image are read, [784], not to be changed."""
    seed = torch.Generator().manual_seed(PERMUTATION_SEED)
    return torch.randperm(PIXELS, generator=seed).to(device)


@functools.cache  # likewise
def _factors(device: torch.device, dtype: torch.dtype, **of_gates: float) -> Tensor:
    """Factors [192, 1] of the rows of the gates, not to be changed; 1 for those not named."""
    factors = [of_gates.get(gate, 1.0) for gate in ("input", "forget", "candidate", "output")]
    rows = torch.tensor(factors, device=device, dtype=dtype)
    return rows.repeat_interleave(HIDDEN).unsqueeze(1)


def _times_tanh(factor: Tensor, squashed: Tensor, out: Tensor) -> None:
    """factor * tanh(z), from squashed = sigmoid(-2 z)."""
    torch.addcmul(factor, factor, squashed, value=-2.0, out=out)


def _through_sigmoid_(delta: Tensor, value: Tensor) -> None:
    """delta *= value (1 - value), in one pass."""
    torch.ops.aten.sigmoid_backward.grad_input(delta, value, grad_input=delta)


ARCHITECTURE = LongShortTermMemory
