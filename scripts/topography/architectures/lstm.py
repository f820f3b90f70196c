"""LSTM over permuted pixels, hidden size 48, dense 48-10 (15,456 parameters)."""

import torch
from torch import Tensor

from topography.architectures.base import PIXELS, AutogradArchitecture, Parameter, cross_entropy

STEPS = 28
INPUTS = 28
HIDDEN = 48
GATES = 4 * HIDDEN
CLASSES = 10
PERMUTATION_SEED = 1234  # of the authors' code


class LongShortTermMemory(AutogradArchitecture):
    """One LSTM layer reads 28 steps of 28 permuted pixels, a dense layer classifies its last
    hidden state (paper, Sec. II.1). Gates in PyTorch's order: input, forget, cell, output."""

    name = "lstm"
    parameters = (
        Parameter("lstm.weight_ih_l0", (GATES, INPUTS), HIDDEN),
        Parameter("lstm.weight_hh_l0", (GATES, HIDDEN), HIDDEN),
        Parameter("lstm.bias_ih_l0", (GATES,), HIDDEN),
        Parameter("lstm.bias_hh_l0", (GATES,), HIDDEN),
        Parameter("output.weight", (CLASSES, HIDDEN), HIDDEN),
    )
    activation_floats = STEPS * (GATES + 4 * HIDDEN)

    def __init__(self) -> None:
        seed = torch.Generator().manual_seed(PERMUTATION_SEED)
        self.permutation = torch.randperm(PIXELS, generator=seed)

    def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        blocks = self.split(params)
        networks = len(params)
        pixels = images[..., self.permutation.to(images.device)].mT  # [(B,) D, n]
        steps = pixels.unflatten(-2, (STEPS, INPUTS)).expand(networks, -1, -1, -1)
        bias = (blocks["lstm.bias_ih_l0"] + blocks["lstm.bias_hh_l0"]).unsqueeze(2)
        hidden = cell = params.new_zeros(networks, HIDDEN, images.shape[-2])
        for step in range(STEPS):
            gates = torch.baddbmm(bias, blocks["lstm.weight_ih_l0"], steps[:, step])
            gates = torch.baddbmm(gates, blocks["lstm.weight_hh_l0"], hidden)
            enter, forget, candidate, leave = gates.split(HIDDEN, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            hidden = leave.sigmoid() * cell.tanh()
        return cross_entropy(torch.bmm(blocks["output.weight"], hidden), labels)


ARCHITECTURE = LongShortTermMemory
