"""LeNet: two convolutions with average pooling, three dense layers (61,706 parameters).

How a convolution becomes matrix products here. Images are the innermost dimension, so moving pixels
about means moving runs of contiguous images. Pixels are unfolded along the width only: *columns*
[B, rows, taps, width, n] hold, for every row, the 5 kernel columns of every input channel and a
plane of ones for the bias. Five consecutive rows of them are, as they lie in memory, one matrix
[5 taps, width * n] with everything the kernels need for one row of output:

    output row y  =  kernels [channels, 5 taps] @ columns of rows y .. y+4

The same view serves the gradients for the kernels, and, on rows of output gradients, those for the
inputs. Unfolding the height as well would cost four more copies of every map.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from topography.architectures.base import (
    Architecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
    get_activation,
)

SIDE = 28  # of an image
KERNEL = 5  # side of the kernels of both convolutions
PADDING = 2  # of the first convolution
WINDOW = 4  # pixels averaged by the pooling
CHANNELS_1, CHANNELS_2 = 6, 16
POOLED_1, POOLED_2 = 14, 5  # sides of the maps after pooling
SIDE_2 = POOLED_1 - KERNEL + 1  # side of the second convolution's output
FEATURES = CHANNELS_2 * POOLED_2**2  # that enter the dense layers
DENSE_LAYERS = ("dense_1", "dense_2", "dense_3")

# On a CPU, networks go one by one over this many images at a time: enough arithmetic to make the
# cost of a call negligible, few enough for the caches. The blocks of images must not depend on the
# number of networks: a network's sum would then depend on its batch-mates.
CPU_IMAGES = 64


class LeNet(Architecture):
    """Convolution 1-6, pool, convolution 6-16, pool, dense 400-120-84-10 (paper, Sec. II.1)."""

    name = "lenet"
    parameters = (
        Parameter("convolution_1.weight", (CHANNELS_1, 1, KERNEL, KERNEL), 25),
        Parameter("convolution_1.bias", (CHANNELS_1,), 25),
        Parameter("convolution_2.weight", (CHANNELS_2, CHANNELS_1, KERNEL, KERNEL), 150),
        Parameter("convolution_2.bias", (CHANNELS_2,), 150),
        Parameter("dense_1.weight", (120, FEATURES), FEATURES),
        Parameter("dense_1.bias", (120,), FEATURES),
        Parameter("dense_2.weight", (84, 120), 120),
        Parameter("dense_2.bias", (84,), 120),
        Parameter("dense_3.weight", (10, 84), 84),
        Parameter("dense_3.bias", (10,), 84),
    )
    activation_floats = 30_000

    def __init__(self, activation: str = "softplus") -> None:
        self.activation = get_activation(activation)
        self.pooling = _POOLINGS[activation]

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        losses = params.new_zeros(len(params), dtype=torch.float64)
        labels = labels.expand(len(params), -1)
        buffers = _Buffers(params)
        for networks, part, columns in _blocks(params, images, buffers):
            blocks = self.split(params[networks])
            hidden = _Convolutions(blocks, self.pooling, buffers).forward(columns)
            for layer in DENSE_LAYERS[:-1]:
                hidden = self.activation.value(_dense(blocks, layer, hidden))
            logits = _dense(blocks, DENSE_LAYERS[-1], hidden)
            image_losses = cross_entropy(logits, labels[networks, part])
            losses[networks] += image_losses.sum(-1, dtype=torch.float64)
        return losses

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        losses = params.new_zeros(len(params), dtype=torch.float64)
        gradients = torch.zeros_like(params)
        labels = labels.expand(len(params), -1)
        buffers = _Buffers(params)
        for networks, part, columns in _blocks(params, images, buffers):
            blocks = self.split(params[networks])
            sums = self.split(gradients[networks])  # views to add to
            convolutions = _Convolutions(blocks, self.pooling, buffers)
            inputs = [convolutions.forward(columns)]
            slopes = []
            for layer in DENSE_LAYERS[:-1]:
                value, slope = self.activation.value_and_slope(_dense(blocks, layer, inputs[-1]))
                inputs.append(value)
                slopes.append(slope)
            logits = _dense(blocks, DENSE_LAYERS[-1], inputs[-1])
            image_losses, delta = cross_entropy_and_gradient(logits, labels[networks, part])
            losses[networks] += image_losses.sum(-1, dtype=torch.float64)
            for layer in reversed(DENSE_LAYERS):
                sums[f"{layer}.weight"].baddbmm_(delta, inputs.pop().mT)
                sums[f"{layer}.bias"].add_(delta.sum(2))
                delta = torch.bmm(blocks[f"{layer}.weight"].mT, delta)
                if slopes:
                    delta.mul_(slopes.pop())
            convolutions.add_gradients(delta, sums)
        return losses, gradients


class _Buffers:
    """Work space by name, kept from one block to the next: fresh memory would have to be mapped
    in page by page every time."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._tensors: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """The buffer of that name: zero when new, else as it was left."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.shape != shape:
            tensor = self._tensors[name] = self._like.new_zeros(shape)
        return tensor


def _blocks(
    params: Tensor, images: Tensor, buffers: _Buffers
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Slices of the networks and of the images to work on, with the columns of those images."""
    networks, count = len(params), images.shape[-2]
    few_networks, few_images = networks, count
    if params.device.type == "cpu":
        few_networks, few_images = 1, CPU_IMAGES
    for first in range(0, count, few_images):
        part = slice(first, min(first + few_images, count))
        columns = None
        for network in range(0, networks, few_networks):
            rows = slice(network, network + few_networks)
            if images.dim() == 3:
                columns = _image_columns(images[rows, part], buffers)
            elif columns is None:
                columns = _image_columns(images[part].unsqueeze(0), buffers)
            yield rows, part, columns


def _image_columns(images: Tensor, buffers: _Buffers) -> Tensor:
    """Columns [B, 32, 6, 28, n] of images [B, n, D], for the first convolution.

    Along the width, even pixels come first, then the odd ones: what is pooled lies in long runs.
    """
    networks, count = images.shape[:2]
    side = SIDE + 2 * PADDING
    padded = buffers("padded", networks, side, side, count)
    inner = slice(PADDING, PADDING + SIDE)
    padded[:, inner, inner] = images.mT.unflatten(1, (SIDE, SIDE))
    columns = buffers("columns_1", networks, side, KERNEL + 1, SIDE, count)
    taps = padded.unfold(2, SIDE, 1).movedim(-1, 3)  # [B, 32, 5, 28, n]
    columns.unflatten(3, (2, -1))[:, :, :-1] = taps.unflatten(3, (-1, 2)).transpose(3, 4)
    columns[:, :, -1] = 1.0
    return columns


def _dense(blocks: dict[str, Tensor], layer: str, inputs: Tensor) -> Tensor:
    """A dense layer of every network, [B, outputs, n]."""
    bias = blocks[f"{layer}.bias"].unsqueeze(2)
    return torch.baddbmm(bias, blocks[f"{layer}.weight"], inputs)


class _Convolutions:
    """The convolutional layers of B networks on n images: forward, then backward."""

    def __init__(self, blocks: dict[str, Tensor], pooling: "_Pooling", buffers: _Buffers) -> None:
        self.pooling = pooling
        self.buffers = buffers
        self.kernels_1 = _kernel_matrix(
            blocks["convolution_1.weight"], blocks["convolution_1.bias"]
        )
        self.kernels_2 = _kernel_matrix(
            blocks["convolution_2.weight"], blocks["convolution_2.bias"]
        )
        self.weights_2 = blocks["convolution_2.weight"]

    def forward(self, columns: Tensor) -> Tensor:
        """Features [B, 400, n] of the images with these columns [B or 1, 32, 6, 28, n]."""
        networks, count = len(self.kernels_1), columns.shape[-1]
        buffers = self.buffers
        self.columns_1 = columns.expand(networks, -1, -1, -1, -1)
        self.maps_1 = _row_products(
            self.kernels_1,
            _row_windows(self.columns_1, KERNEL),
            buffers("maps_1", networks, SIDE, CHANNELS_1, SIDE * count),
        )
        # [row in window, column in window, B, 14, 6, 14, n]
        self.windows_1 = (
            self.maps_1.unflatten(1, (-1, 2))
            .unflatten(4, (2, -1, count))
            .permute(2, 4, 0, 1, 3, 5, 6)
        )
        pooled = self.pooling.sums(self.windows_1)  # [B, 14, 6, 14, n]

        self.columns_2 = buffers(
            "columns_2", networks, POOLED_1, CHANNELS_1 * KERNEL + 1, SIDE_2, count
        )
        taps = self.columns_2[:, :, :-1].unflatten(2, (CHANNELS_1, KERNEL))
        torch.mul(pooled.unfold(3, SIDE_2, 1).movedim(-1, 4), 1.0 / WINDOW, out=taps)
        self.columns_2[:, :, -1] = 1.0
        self.maps_2 = _row_products(
            self.kernels_2,
            _row_windows(self.columns_2, KERNEL),
            buffers("maps_2", networks, SIDE_2, CHANNELS_2, SIDE_2 * count),
        )
        self.windows_2 = (
            self.maps_2.unflatten(1, (-1, 2))
            .unflatten(4, (-1, 2, count))
            .permute(2, 5, 0, 1, 3, 4, 6)
        )
        pooled = self.pooling.sums(self.windows_2)  # [B, 5, 16, 5, n]
        features = buffers("features", networks, CHANNELS_2, POOLED_2, POOLED_2, count)
        torch.mul(pooled.transpose(1, 2), 1.0 / WINDOW, out=features)
        return features.flatten(1, 3)

    def add_gradients(self, delta: Tensor, sums: dict[str, Tensor]) -> None:
        """Add the gradients for the kernels and biases, given those for the features, to sums."""
        networks, count = len(delta), delta.shape[-1]
        buffers = self.buffers
        # Rows of zeros above and below, for the kernels that overhang.
        border = KERNEL - 1
        padded = buffers("delta_2", networks, SIDE_2 + 2 * border, CHANNELS_2, SIDE_2 * count)
        delta_2 = padded[:, border:-border]
        pooled_delta = delta.mul_(1.0 / WINDOW).unflatten(1, (CHANNELS_2, POOLED_2, POOLED_2))
        windows = (
            delta_2.unflatten(1, (-1, 2)).unflatten(4, (-1, 2, count)).permute(2, 5, 0, 1, 3, 4, 6)
        )
        self.pooling.spread(pooled_delta.transpose(1, 2), self.windows_2, windows)
        shape = (networks, SIDE_2, self.kernels_2.shape[-1], CHANNELS_2)
        products = _row_products(
            _row_windows(self.columns_2, KERNEL), delta_2.mT, buffers("kernels_2", *shape)
        )
        _add_kernel_gradients(products.sum(1).mT, sums, "convolution_2")

        # The gradient for input row r gathers the output rows r - 4 .. r, kernel rows reversed.
        gather = (
            self.weights_2.flip(3)
            .permute(0, 2, 4, 3, 1)
            .reshape(networks, 1, CHANNELS_1 * KERNEL, KERNEL * CHANNELS_2)
        )
        taps_delta = _row_products(
            gather.mul_(1.0 / WINDOW),
            _row_windows(padded.unflatten(3, (SIDE_2, count)), KERNEL),
            buffers("taps_delta", networks, POOLED_1, CHANNELS_1 * KERNEL, SIDE_2 * count),
        ).view(networks, POOLED_1, CHANNELS_1, KERNEL, SIDE_2, count)
        pooled_delta = buffers("pooled_delta", networks, POOLED_1, CHANNELS_1, POOLED_1, count)
        pooled_delta.zero_()
        for tap in range(KERNEL):
            pooled_delta[:, :, :, tap : tap + SIDE_2] += taps_delta[:, :, :, tap]
        self.pooling.spread(pooled_delta, self.windows_1, self.windows_1)
        shape = (networks, SIDE, CHANNELS_1, self.kernels_1.shape[-1])
        products = _row_products(
            self.maps_1, _row_windows(self.columns_1, KERNEL).mT, buffers("kernels_1", *shape)
        )
        _add_kernel_gradients(products.sum(1), sums, "convolution_1")


def _kernel_matrix(weight: Tensor, bias: Tensor) -> Tensor:
    """Kernels [B, O, C, 5, 5] and biases [B, O] as matrices [B, 1, O, 5 (5 C + 1)].

    Columns in the order (kernel row, channel, kernel column), each row ending with a tap on the
    plane of ones, of which the first carries the bias.
    """
    networks, channels = bias.shape
    taps = weight.shape[2] * KERNEL
    matrix = weight.new_zeros(networks, channels, KERNEL, taps + 1)
    matrix[..., :-1] = weight.transpose(2, 3).flatten(3)
    matrix[..., 0, -1] = bias
    return matrix.flatten(2).unsqueeze(1)


def _add_kernel_gradients(matrix: Tensor, sums: dict[str, Tensor], layer: str) -> None:
    """Add gradients for `_kernel_matrix`, [B, O, 5 (5 C + 1)], to those for weights and biases."""
    rows = matrix.unflatten(2, (KERNEL, -1))
    weight = sums[f"{layer}.weight"]
    weight.add_(rows[..., :-1].unflatten(3, (-1, KERNEL)).transpose(2, 3))
    sums[f"{layer}.bias"].add_(rows[..., 0, -1])


def _row_windows(maps: Tensor, height: int) -> Tensor:
    """Every `height` consecutive rows of maps [B, H, C, W, n] as one matrix, without copying:
    [B, H - height + 1, height C, W n]."""
    networks, rows, channels, width, count = maps.shape
    run = width * count
    return maps.as_strided(
        (networks, rows - height + 1, height * channels, run),
        (maps.stride(0), maps.stride(1), run, 1),
    )


def _row_products(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Matrix products out[b, y] = left[b, y] @ right[b, y] for every network b and row y.

    Networks and rows cannot be one batch dimension (strides differ, or are zero): the longer of the
    two is the batch, the other one is looped over.
    """
    left = left.expand(*out.shape[:2], -1, -1)
    networks, rows = out.shape[:2]
    if networks <= rows:
        for network in range(networks):
            torch.bmm(left[network], right[network], out=out[network])
    else:
        for row in range(rows):
            torch.bmm(left[:, row], right[:, row], out=out[:, row])
    return out


class _Pooling(NamedTuple):
    """An activation followed by sums over windows of 2 x 2 pixels.

    Windows are [2, 2, ...]: the pixels of a window along the first two dimensions.
    """

    sums: Callable[[Tensor], Tensor]
    """Sums [...] of the activations of windows, which are overwritten with what `spread` needs."""

    spread: Callable[[Tensor, Tensor, Tensor], None]
    """Gradients for the sums [...], windows as `sums` left them (overwritten), and where the
    gradients for the pixels go: [2, 2, ...]."""


def _softplus_sums(windows: Tensor) -> Tensor:
    """The sum of log(1 + exp(x)) over a window is the logarithm of the product of 1 + exp(x):
    one logarithm in place of four. Leaves 1 + exp(x)."""
    # exp(limit) to the fourth is just finite, and softplus(x) = x to rounding above the limit.
    limit = math.log(torch.finfo(windows.dtype).max) / WINDOW - 1.0
    excess = None
    if windows.amax() > limit:
        excess = (windows - limit).clamp_(min=0.0).sum((0, 1))
        windows.clamp_(max=limit)
    windows.exp_().add_(1.0)
    rows = windows[0] * windows[1]
    sums = torch.mul(rows[0], rows[1]).log_()
    return sums if excess is None else sums.add_(excess)


def _spread_softplus(delta: Tensor, windows: Tensor, out: Tensor) -> None:
    """The slope of softplus is 1 - 1 / (1 + exp(x))."""
    torch.addcmul(delta, delta, windows.reciprocal_(), value=-1.0, out=out)


def _relu_sums(windows: Tensor) -> Tensor:
    """Leaves the activations."""
    windows.relu_()
    rows = windows[0] + windows[1]
    return rows[0] + rows[1]


def _spread_relu(delta: Tensor, windows: Tensor, out: Tensor) -> None:
    torch.mul(delta, windows.sign_(), out=out)


_POOLINGS = {
    "softplus": _Pooling(_softplus_sums, _spread_softplus),
    "relu": _Pooling(_relu_sums, _spread_relu),
}

ARCHITECTURE = LeNet
