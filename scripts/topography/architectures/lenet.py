"""LeNet: two convolutions with average pooling, three dense layers (61,706 parameters)."""

import torch
from torch import Tensor
from torch.nn import functional

from topography.architectures.base import AutogradArchitecture, Parameter, cross_entropy

ACTIVATIONS = {"softplus": functional.softplus, "relu": functional.relu}


class LeNet(AutogradArchitecture):
    """Convolution 1-6, pool, convolution 6-16, pool, dense 400-120-84-10 (paper, Sec. II.1)."""

    name = "lenet"
    parameters = (
        Parameter("convolution_1.weight", (6, 1, 5, 5), 25),
        Parameter("convolution_1.bias", (6,), 25),
        Parameter("convolution_2.weight", (16, 6, 5, 5), 150),
        Parameter("convolution_2.bias", (16,), 150),
        Parameter("dense_1.weight", (120, 400), 400),
        Parameter("dense_1.bias", (120,), 400),
        Parameter("dense_2.weight", (84, 120), 120),
        Parameter("dense_2.bias", (84,), 120),
        Parameter("dense_3.weight", (10, 84), 84),
        Parameter("dense_3.bias", (10,), 84),
    )
    activation_floats = 2 * (6 * 784 + 6 * 196 + 16 * 100 + 400 + 120 + 84 + 10)

    def __init__(self, activation: str = "softplus") -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}"
            )
        self.activation = ACTIVATIONS[activation]

    def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        blocks = self.split(params)
        networks = len(params)
        # Networks as groups of channels, [n, B channels, height, width].
        maps = images.expand(networks, -1, -1).transpose(0, 1).unflatten(2, (28, 28))
        for layer, padding in (("convolution_1", 2), ("convolution_2", 0)):
            weight, bias = blocks[f"{layer}.weight"], blocks[f"{layer}.bias"]
            maps = functional.conv2d(
                maps, weight.flatten(0, 1), bias.flatten(), padding=padding, groups=networks
            )
            maps = functional.avg_pool2d(self.activation(maps), 2)
        hidden = maps.flatten(1).unflatten(1, (networks, -1)).permute(1, 2, 0)
        hidden = self.activation(_dense(blocks, "dense_1", hidden))
        hidden = self.activation(_dense(blocks, "dense_2", hidden))
        return cross_entropy(_dense(blocks, "dense_3", hidden), labels)


def _dense(blocks: dict[str, Tensor], layer: str, inputs: Tensor) -> Tensor:
    """Dense layer of every network, [B, outputs, n]."""
    bias = blocks[f"{layer}.bias"].unsqueeze(2)
    return torch.baddbmm(bias, blocks[f"{layer}.weight"], inputs)


ARCHITECTURE = LeNet
