"""LeNet: two convolutions with average pooling, three dense layers (61,706 parameters).

How a convolution becomes matrix products here. Images are the innermost dimension, so moving pixels
about means moving runs of contiguous images. Pixels are unfolded along the width only: *columns*
[B, rows, taps, width, n] hold, for every row, the 5 kernel columns of every input channel, and a
plane of ones for the bias. Five consecutive rows of them are, as they lie in memory, one matrix
[5 taps, width n] with everything the kernels need for one row of output:

    output row y  =  kernels [channels, 5 taps] @ columns of rows y .. y+4

The same view serves the gradients for the kernels, and, on rows of output gradients, those for the
inputs. Unfolding the height as well would write (and read) every map five times more often.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from topography.architectures.base import (
    Activation,
    Architecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
    get_activation,
)

KERNEL = 5  # side of the kernels of both convolutions
SIDE, PADDING = 28, 2  # of an image, and around it
CHANNELS_1, CHANNELS_2 = 6, 16
POOLED_1, POOLED_2 = 14, 5  # sides of the maps after pooling
SIDE_2 = POOLED_1 - KERNEL + 1  # side of the second convolution's output
TAPS_1, TAPS_2 = KERNEL + 1, CHANNELS_1 * KERNEL + 1  # per row of the columns, ones included
FEATURES = CHANNELS_2 * POOLED_2**2  # that enter the dense layers
HIDDEN_LAYERS, OUTPUT_LAYER = ("dense_1", "dense_2"), "dense_3"
POOL_AREA = 4

# On a CPU, one network at a time meets this many images: enough that the arithmetic outweighs the
# calls, few enough for the caches. The number must not depend on how many networks there are, or
# the rounding of a network's sums would depend on its batch-mates.
CPU_IMAGES = 128


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
    activation_floats = 31_500  # the numbers in _Workspace
    blocks_on_cpu = True

    def __init__(self, activation: str = "softplus") -> None:
        self.activation = get_activation(activation)
        self.pooling = _POOLINGS[activation]

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
        count, shared = images.shape[-2], images.dim() == 2
        labels = labels.expand(len(params), count)
        few_networks, few_images = _at_a_time(params, count)
        groups = [slice(row, row + few_networks) for row in range(0, len(params), few_networks)]
        runs = [
            _Run(self, params[rows], None if gradients is None else gradients[rows])
            for rows in groups
        ]
        losses = params.new_zeros(len(params), dtype=torch.float64)
        work = None
        for first in range(0, count, few_images):
            part = slice(first, min(first + few_images, count))
            size = part.stop - part.start
            if work is None or work.size != size:
                work = _Workspace(few_networks, size, shared, params)
            if shared:
                work.unfold(images[None, part])
            for rows, run in zip(groups, runs, strict=True):
                if not shared:
                    work.unfold(images[rows, part])
                losses[rows] += run.loss_sums(work, labels[rows, part])
        for run in runs:
            run.finish()
        return losses


def _at_a_time(params: Tensor, count: int) -> tuple[int, int]:
    """How many of the networks, and of `count` images, to work on at a time."""
    return (1, CPU_IMAGES) if params.device.type == "cpu" else (len(params), count)


class _Workspace:
    """Memory for a block of B networks and n images, and its geometry: what is a view of what.

    Kept from one block to the next: fresh memory has to be mapped in page by page.
    """

    def __init__(self, networks: int, size: int, shared: bool, like: Tensor) -> None:
        self.size = size
        # Images with their border, and their columns. Along the width, the even pixels come before
        # the odd ones, so that the pixels to pool lie in long runs.
        owners = 1 if shared else networks
        bordered = SIDE + 2 * PADDING
        inner = slice(PADDING, PADDING + SIDE)
        padded = like.new_zeros(owners, SIDE, bordered, size)
        self.pixels = padded[:, :, inner]
        self.shifted_pixels = (
            padded.unfold(2, SIDE, 1).unflatten(4, (-1, 2)).permute(0, 1, 2, 5, 4, 3)
        )
        columns = like.new_zeros(owners, bordered, TAPS_1, SIDE, size)
        columns[:, :, -1] = 1.0
        self.taps_1 = columns[:, inner, :-1].unflatten(3, (2, -1))
        self.columns_1 = _row_windows(columns).expand(networks, -1, -1, -1)

        self.maps_1 = like.new_empty(networks, SIDE, CHANNELS_1, SIDE * size)
        pairs = self.maps_1.view(networks, POOLED_1, 2, CHANNELS_1, 2, POOLED_1, size)
        self.windows_1 = pairs.permute(2, 4, 0, 1, 3, 5, 6)
        self.half_1 = like.new_empty(self.windows_1.shape[1:])
        self.pooled_1 = like.new_empty(self.windows_1.shape[2:])

        columns = like.new_empty(networks, POOLED_1, TAPS_2, SIDE_2, size)
        columns[:, :, -1] = 1.0
        self.taps_2 = columns[:, :, :-1].unflatten(2, (CHANNELS_1, KERNEL))
        self.shifted_pooled = self.pooled_1.unfold(3, SIDE_2, 1).movedim(-1, 4)
        self.columns_2 = _row_windows(columns)

        self.maps_2 = like.new_empty(networks, SIDE_2, CHANNELS_2, SIDE_2 * size)
        self.windows_2 = _windows_2(self.maps_2, size)
        self.half_2 = like.new_empty(self.windows_2.shape[1:])
        self.pooled_2 = like.new_empty(self.windows_2.shape[2:])
        self.features = like.new_empty(networks, CHANNELS_2, POOLED_2, POOLED_2, size)

        # Backwards. Output gradients have rows of zeros above and below, where kernels overhang.
        border = KERNEL - 1
        padded = like.new_zeros(networks, SIDE_2 + 2 * border, CHANNELS_2, SIDE_2, size)
        self.delta_rows_2 = _row_windows(padded)
        self.delta_2 = padded[:, border:-border].flatten(3)
        self.delta_windows_2 = _windows_2(self.delta_2, size)
        self.delta_taps = like.new_empty(networks, POOLED_1, CHANNELS_1 * KERNEL, SIDE_2 * size)
        taps = self.delta_taps.view(networks, POOLED_1, CHANNELS_1, KERNEL, SIDE_2, size)
        self.delta_pooled_1 = like.new_empty(networks, POOLED_1, CHANNELS_1, POOLED_1, size)
        self.folds = [
            (self.delta_pooled_1[:, :, :, tap : tap + SIDE_2], taps[:, :, :, tap])
            for tap in range(KERNEL)
        ]
        self.products_1 = like.new_empty(networks, SIDE, CHANNELS_1, KERNEL * TAPS_1)
        self.products_2 = like.new_empty(networks, SIDE_2, KERNEL * TAPS_2, CHANNELS_2)

    def unfold(self, images: Tensor) -> None:
        """Write the columns of images [B or 1, n, D]."""
        self.pixels.copy_(images.mT.unflatten(1, (SIDE, SIDE)))
        self.taps_1.copy_(self.shifted_pixels)


class _Run:
    """A group of B networks: parameters, and sums of gradients, arranged for the products."""

    def __init__(self, network: LeNet, params: Tensor, gradients: Tensor | None) -> None:
        self.activation: Activation = network.activation
        self.pooling = network.pooling
        self.blocks = network.split(params)
        self.kernels_1 = _kernel_matrix(
            self.blocks["convolution_1.weight"], self.blocks["convolution_1.bias"]
        )
        # What enters the second convolution are sums over windows, not averages.
        self.weights_2 = self.blocks["convolution_2.weight"] / POOL_AREA
        self.kernels_2 = _kernel_matrix(self.weights_2, self.blocks["convolution_2.bias"])
        self.sums = None
        if gradients is not None:
            self.sums = network.split(gradients)
            self.kernel_sums_1 = torch.zeros_like(self.kernels_1)
            self.kernel_sums_2 = torch.zeros_like(self.kernels_2.mT)
            # Gradients for input row r come from output rows r-4 .. r: kernel rows in reverse.
            gather = self.weights_2.flip(3).permute(0, 2, 4, 3, 1)
            self.gather_2 = gather.reshape(len(params), 1, CHANNELS_1 * KERNEL, KERNEL * CHANNELS_2)

    def loss_sums(self, work: _Workspace, labels: Tensor) -> Tensor:
        """Loss sums of the block of images in the workspace; adds to the gradients if wanted."""
        features = self._convolve(work)
        if self.sums is None:
            hidden = features
            for layer in HIDDEN_LAYERS:
                hidden = self.activation.value(self._dense(layer, hidden))
            losses = cross_entropy(self._dense(OUTPUT_LAYER, hidden), labels)
        else:
            inputs, slopes = [features], []
            for layer in HIDDEN_LAYERS:
                value, slope = self.activation.value_and_slope(self._dense(layer, inputs[-1]))
                inputs.append(value)
                slopes.append(slope)
            losses, delta = cross_entropy_and_gradient(
                self._dense(OUTPUT_LAYER, inputs[-1]), labels
            )
            delta = self._dense_back(OUTPUT_LAYER, delta, inputs.pop()).mul_(slopes.pop())
            delta = self._dense_back(HIDDEN_LAYERS[1], delta, inputs.pop()).mul_(slopes.pop())
            self._convolve_back(work, self._dense_back(HIDDEN_LAYERS[0], delta, inputs.pop()))
        return losses.sum(-1, dtype=torch.float64)

    def finish(self) -> None:
        """Add the gradients for the kernels, arranged as the parameters are, to the others."""
        if self.sums is None:
            return
        _add_kernel_gradients(self.kernel_sums_1, self.sums, "convolution_1", 1.0)
        _add_kernel_gradients(self.kernel_sums_2.mT, self.sums, "convolution_2", 1.0 / POOL_AREA)

    def _convolve(self, work: _Workspace) -> Tensor:
        """Features [B, 400, n]."""
        _row_products(self.kernels_1, work.columns_1, out=work.maps_1)
        self.pooling.sums(work.windows_1, work.half_1, work.pooled_1)
        work.taps_2.copy_(work.shifted_pooled)
        _row_products(self.kernels_2, work.columns_2, out=work.maps_2)
        self.pooling.sums(work.windows_2, work.half_2, work.pooled_2)
        torch.mul(work.pooled_2.transpose(1, 2), 1.0 / POOL_AREA, out=work.features)
        return work.features.flatten(1, 3)

    def _convolve_back(self, work: _Workspace, delta: Tensor) -> None:
        """Add the gradients for the kernels, given those for the features [B, 400, n]."""
        delta = delta.mul_(1.0 / POOL_AREA).unflatten(1, (CHANNELS_2, POOLED_2, POOLED_2))
        self.pooling.spread(delta.transpose(1, 2), work.windows_2, work.delta_windows_2)
        _row_products(work.columns_2, work.delta_2.mT, out=work.products_2)
        self.kernel_sums_2 += work.products_2.sum(1, keepdim=True)
        _row_products(self.gather_2, work.delta_rows_2, out=work.delta_taps)
        work.delta_pooled_1.zero_()
        for pixels, taps in work.folds:
            pixels += taps
        self.pooling.spread(work.delta_pooled_1, work.windows_1, work.windows_1)
        _row_products(work.maps_1, work.columns_1.mT, out=work.products_1)
        self.kernel_sums_1 += work.products_1.sum(1, keepdim=True)

    def _dense(self, layer: str, inputs: Tensor) -> Tensor:
        bias = self.blocks[f"{layer}.bias"].unsqueeze(2)
        return torch.baddbmm(bias, self.blocks[f"{layer}.weight"], inputs)

    def _dense_back(self, layer: str, delta: Tensor, inputs: Tensor) -> Tensor:
        """Gradients for the inputs of a dense layer; adds those for its weights and biases."""
        assert self.sums is not None
        self.sums[f"{layer}.weight"].baddbmm_(delta, inputs.mT)
        self.sums[f"{layer}.bias"].add_(delta.sum(2))
        return torch.bmm(self.blocks[f"{layer}.weight"].mT, delta)


def _windows_2(maps: Tensor, size: int) -> Tensor:
    """Pooling windows [2, 2, B, 5, 16, 5, n] of the second convolution's maps [B, 10, 16, 10 n]."""
    windows = maps.unflatten(1, (POOLED_2, 2)).unflatten(4, (POOLED_2, 2, size))
    return windows.permute(2, 5, 0, 1, 3, 4, 6)


def _kernel_matrix(weight: Tensor, bias: Tensor) -> Tensor:
    """Kernels [B, O, C, 5, 5] and biases [B, O] as matrices [B, 1, O, 5 (5 C + 1)].

    Taps are ordered (kernel row, channel, kernel column). Each row ends with a tap on the plane of
    ones; that of the first row carries the bias.
    """
    taps = weight.transpose(2, 3).flatten(3)
    matrix = weight.new_zeros(*taps.shape[:3], taps.shape[3] + 1)
    matrix[..., :-1] = taps
    matrix[..., 0, -1] = bias
    return matrix.flatten(2).unsqueeze(1)


def _add_kernel_gradients(
    matrix: Tensor, sums: dict[str, Tensor], layer: str, scale: float
) -> None:
    """Add gradients for `_kernel_matrix(scale * weight, bias)` to those for weight and bias."""
    rows = matrix.squeeze(1).unflatten(2, (KERNEL, -1))
    taps = rows[..., :-1].unflatten(3, (-1, KERNEL)).transpose(2, 3)
    sums[f"{layer}.weight"].add_(taps, alpha=scale)
    sums[f"{layer}.bias"].add_(rows[..., 0, -1])


def _row_windows(maps: Tensor) -> Tensor:
    """Every five consecutive rows of maps [B, H, C, W, n] as one matrix, without copying:
    [B, H - 4, 5 C, W n]."""
    networks, rows, channels, width, size = maps.shape
    shape = (networks, rows - KERNEL + 1, KERNEL * channels, width * size)
    return maps.as_strided(shape, (*maps.stride()[:3], 1))


def _row_products(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Matrix products out[b, y] = left[b, y] @ right[b, y] for every network b and row y.

    The two are not one batch dimension for bmm, since their strides differ or are zero; the longer
    one is the batch, and the other is looped over.
    """
    networks, rows = out.shape[:2]
    left = left.expand(networks, rows, -1, -1)
    if networks <= rows:
        for network in range(networks):
            torch.bmm(left[network], right[network], out=out[network])
    else:
        for row in range(rows):
            torch.bmm(left[:, row], right[:, row], out=out[:, row])


class _Pooling(NamedTuple):
    """An activation, then sums over windows of 2 x 2 pixels. Windows are [2, 2, ...]: the row and
    the column within the window come first."""

    sums: Callable[[Tensor, Tensor, Tensor], None]
    """(windows, half, pooled): writes the window sums to pooled [...], and over the windows what
    `spread` will need; half [2, ...] is scratch."""

    spread: Callable[[Tensor, Tensor, Tensor], None]
    """(delta, windows, out): from the gradients delta [...] for the window sums, those for the
    pixels, to out [2, 2, ...]; windows as `sums` left them."""


def _softplus_sums(windows: Tensor, half: Tensor, pooled: Tensor) -> None:
    """The sum of log(1 + exp x) over a window is the logarithm of the product of its 1 + exp x:
    one logarithm instead of four. Leaves 1 + exp x."""
    # The product of four stays finite up to this x, above which softplus(x) = x to rounding.
    limit = math.log(torch.finfo(windows.dtype).max) / POOL_AREA - 1.0
    excess = None
    if windows.amax() > limit:
        excess = (windows - limit).clamp_(min=0.0).sum((0, 1))
        windows.clamp_(max=limit)
    windows.exp_().add_(1.0)
    torch.mul(windows[0], windows[1], out=half)
    torch.mul(half[0], half[1], out=pooled).log_()
    if excess is not None:
        pooled += excess


def _spread_softplus(delta: Tensor, windows: Tensor, out: Tensor) -> None:
    """The slope of softplus is 1 - 1 / (1 + exp x)."""
    torch.addcdiv(delta, delta, windows, value=-1.0, out=out)


def _relu_sums(windows: Tensor, half: Tensor, pooled: Tensor) -> None:
    """Leaves the activations."""
    windows.relu_()
    torch.add(windows[0], windows[1], out=half)
    torch.add(half[0], half[1], out=pooled)


def _spread_relu(delta: Tensor, windows: Tensor, out: Tensor) -> None:
    torch.mul(delta, windows.sign_(), out=out)


_POOLINGS = {
    "softplus": _Pooling(_softplus_sums, _spread_softplus),
    "relu": _Pooling(_relu_sums, _spread_relu),
}

ARCHITECTURE = LeNet
