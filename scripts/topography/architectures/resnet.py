"""Residual network of any width and depth; ResNet18 for CIFAR-10 with its default settings."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from topography.architectures.base import AutogradArchitecture, Parameter, cross_entropy
from topography.modules import are_counts

CLASSES = 10


class _Block(NamedTuple):
    """Two convolutions and the shortcut around them."""

    name: str
    channels: int
    halves: bool
    """The resolution; the shortcut is a convolution then, too."""


class ResidualNetwork(AutogradArchitecture):
    """Stages of basic blocks (He et al. 2016), each stage but the first at half the resolution.

    In place of batch normalisation stands group normalisation, with as many parameters: an image's
    loss must not depend on the images beside it, or it would depend on how work is cut. The default
    has the 11,173,962 parameters of ResNet18 as it is used for CIFAR-10.

    Networks are convolved side by side, which rounds otherwise than one alone: in float32 the last
    bits of a seed's network depend on how many are trained with it.
    """

    name = "resnet"

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (2, 2, 2, 2),
        image: Sequence[int] = (3, 32, 32),
        groups: int = 8,
        stem_stride: int = 1,
    ) -> None:
        """channels, blocks: of each stage; image: channels, height and width; groups: of channels
        that are normalised together; stem_stride: step of the first convolution, 2 halves the
        image at once.
        """
        if len(image) != 3 or not are_counts(*image, groups, stem_stride):
            raise ValueError(
                "image needs channels, height and width, such as [1, 28, 28]; these, groups and "
                "stem_stride must be whole numbers of at least 1"
            )
        if len(channels) != len(blocks) or not channels or not are_counts(*channels, *blocks):
            raise ValueError("channels and blocks need a whole number of at least 1 for each stage")
        if any(width % groups for width in channels):
            raise ValueError(f"groups ({groups}) must divide each of the channels {channels}")
        self.image = tuple(image)
        self.image_size = math.prod(image)
        self.groups = groups
        self.stem_stride = stem_stride
        self.blocks = list(_blocks(channels, blocks))
        self.parameters = tuple(_parameters(self.image[0], channels[0], self.blocks))
        height, width = (math.ceil(side / stem_stride) for side in self.image[1:])
        self.activation_floats = 8 * height * width * channels[0] * sum(blocks)

    def initialise(self, generator: torch.Generator) -> Tensor:
        """Convolutions and the classifier as PyTorch's own, normalisations as the identity."""
        params = super().initialise(generator)
        for name, block in self.split(params[None]).items():
            if "norm" in name:
                block.fill_(1.0 if name.endswith("weight") else 0.0)
        return params

    def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        networks = len(params)
        weights = self.split(params)
        # The networks lie side by side as groups of channels: [n, B * channels, height, width].
        if images.dim() == 2:
            values = images.unflatten(1, self.image).repeat(1, networks, 1, 1)
        else:
            values = images.unflatten(2, self.image).transpose(0, 1).flatten(1, 2)
        values = self._convolve(values, weights, "stem.", self.stem_stride).relu()
        for block in self.blocks:
            kept, stride = values, 2 if block.halves else 1
            values = self._convolve(values, weights, f"{block.name}.1.", stride).relu()
            values = self._convolve(values, weights, f"{block.name}.2.")
            if block.halves:
                kept = self._convolve(kept, weights, f"{block.name}.shortcut.", stride)
            values = (values + kept).relu()
        pooled = values.mean((2, 3)).unflatten(1, (networks, -1))  # [n, B, C]
        logits = weights["output.weight"] @ pooled.permute(1, 2, 0)
        return cross_entropy(logits + weights["output.bias"].unsqueeze(2), labels)

    def _convolve(
        self, values: Tensor, weights: dict[str, Tensor], name: str, stride: int = 1
    ) -> Tensor:
        """Convolution and normalisation of every network's own channels."""
        kernels = weights[f"{name}conv.weight"]  # [B, out, in, k, k]
        values = functional.conv2d(
            values,
            kernels.flatten(0, 1),
            stride=stride,
            padding=kernels.shape[-1] // 2,
            groups=len(kernels),
        )
        return functional.group_norm(
            values,
            len(kernels) * self.groups,
            weights[f"{name}norm.weight"].flatten(),
            weights[f"{name}norm.bias"].flatten(),
        )


def _blocks(channels: Sequence[int], counts: Sequence[int]) -> Iterator[_Block]:
    for stage, (width, count) in enumerate(zip(channels, counts, strict=True)):
        for number in range(count):
            yield _Block(f"stage_{stage + 1}.{number}", width, stage > 0 and number == 0)


def _parameters(inputs: int, stem: int, blocks: Sequence[_Block]) -> Iterator[Parameter]:
    yield from _convolution("stem.", inputs, stem, 3)
    former = stem
    for block in blocks:
        yield from _convolution(f"{block.name}.1.", former, block.channels, 3)
        yield from _convolution(f"{block.name}.2.", block.channels, block.channels, 3)
        if block.halves:
            yield from _convolution(f"{block.name}.shortcut.", former, block.channels, 1)
        former = block.channels
    yield Parameter("output.weight", (CLASSES, former), former)
    yield Parameter("output.bias", (CLASSES,), former)


def _convolution(name: str, inputs: int, outputs: int, side: int) -> Iterator[Parameter]:
    """A convolution without bias, and its normalisation."""
    fan_in = inputs * side * side
    yield Parameter(f"{name}conv.weight", (outputs, inputs, side, side), fan_in)
    yield Parameter(f"{name}norm.weight", (outputs,), 1)
    yield Parameter(f"{name}norm.bias", (outputs,), 1)


ARCHITECTURE = ResidualNetwork
