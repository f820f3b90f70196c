"""LeNet: two convolutions with average pooling, three dense layers (61,706 parameters).

How a convolution becomes matrix products here. Images are the innermost dimension, so moving pixels
about means moving runs of contiguous images. Pixels are unfolded along the width only: *columns*
[B, pairs, planes, width, n] hold, for every two rows of the input, the pixels under each column of
the kernels, for all channels, and a plane of ones for the bias. Three consecutive pairs are, as
they lie in memory, one matrix [3 planes, width n] with all that two rows of output need, which are
a row of windows to pool:

    rows 2y and 2y + 1 of output  =  kernels @ columns of the pairs y .. y + 2

The same view serves the gradients for the kernels; those for the inputs are added up in such a view
of gradients for the columns. Unfolding the height as well would write (and read) every map three
times as often.

The 6 or 16 channels of one row of output would make products too narrow to be fast. So the kernels
are written one below the other for both rows of a pooling window, shifted by a pixel; those of the
first convolution for both columns too (its *span*), which makes 24 and 32 rows. The zeros between
cost less than the width gains.

Maps hold minus the input z of the activation, and pooled maps minus the sums over the windows: for
softplus, one logarithm of a product of logistic functions for a whole window,

    sum of log(1 + exp z)  =  -log of the product of sigmoid(-z),        slope  =  1 - sigmoid(-z).

Windows of the first convolution that see blank pixels only are all alike, whatever the image: their
sums depend on the biases alone (`_Blank`). Images come sorted by their margins, so on a CPU, where
few are met at a time, the convolution is limited to the windows that see more: of MNIST's, two
thirds.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from topography.architectures.base import (
    VECTOR,
    Activation,
    BlockwiseArchitecture,
    Parameter,
    cross_entropy,
    cross_entropy_and_gradient,
    get_activation,
    has_ink,
    times_slope,
)

KERNEL = 5  # side of the kernels of both convolutions
SIDE, PADDING = 28, 2  # of an image, and around it
CHANNELS_1, CHANNELS_2 = 6, 16
POOLED_1, POOLED_2 = 14, 5  # sides of the maps after pooling
FEATURES = CHANNELS_2 * POOLED_2**2  # that enter the dense layers
HIDDEN_LAYERS, OUTPUT_LAYER = ("dense_1", "dense_2"), "dense_3"
POOL = 2  # side of a pooling window
POOL_AREA = POOL**2
PATCH = KERNEL + POOL - 1  # side of what a window sees
PAIRS = PATCH // 2  # of its rows
SPAN_1, SPAN_2 = 2, 1  # columns of a window that kernels are written for, beside both rows

# Factor of the weights, as maps hold minus the input of the activation, and the second convolution
# reads minus the sums over windows; and span.
CONVOLUTIONS = {"convolution_1": (-1.0, SPAN_1), "convolution_2": (1.0 / POOL_AREA, SPAN_2)}

# On a CPU, one network at a time meets this many images: enough that the arithmetic outweighs the
# calls, few enough for the caches. The number must not depend on how many networks there are, or
# the rounding of a network's sums would depend on its batch-mates.
CPU_IMAGES = 128


class LeNet(BlockwiseArchitecture):
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
    activation_floats = 20_900  # the numbers in _Workspace

    def __init__(self, activation: str = "softplus") -> None:
        self.activation = get_activation(activation)
        self.pooling = _POOLINGS[activation]

    def block_loss_sums(
        self, params: Tensor, images: Tensor, labels: Tensor, gradients: Tensor | None
    ) -> Tensor:
        count, shared = images.shape[-2], images.dim() == 2
        labels = labels.expand(len(params), count)
        few_networks, few_images = _at_a_time(params, count)
        groups = [slice(row, row + few_networks) for row in range(0, len(params), few_networks)]
        # Not of minibatches, in which some images fill the map, nor on a GPU: it would have to be
        # waited for, and takes all images at once.
        skip_blank = shared and params.device.type == "cpu"
        networks = _Networks.of(self, params, gradients, skip_blank)
        parts = [networks[rows] for rows in groups]
        losses = params.new_zeros(len(params), dtype=torch.float64)
        memory, work = _Memory(params), None
        for first in range(0, count, few_images):
            block = slice(first, min(first + few_images, count))
            size = block.stop - block.start
            seen = _windows_seen(images[block]) if skip_blank else _WHOLE_MAP
            if work is None or (work.size, work.seen) != (size, seen):
                work = _Workspace(memory, few_networks, size, seen, shared, gradients is not None)
            if shared:
                work.unfold_images(images[None, block])
            for rows, part in zip(groups, parts, strict=True):
                if not shared:
                    work.unfold_images(images[rows, block])
                losses[rows] += part.loss_sums(work, labels[rows, block])
        networks.add_convolution_gradients()
        return losses


def _at_a_time(params: Tensor, count: int) -> tuple[int, int]:
    """How many of the networks, and of `count` images, to work on at a time."""
    return (1, CPU_IMAGES) if params.device.type == "cpu" else (len(params), count)


class _Seen(NamedTuple):
    """Windows of the first convolution: those of some rows and columns of its pooled maps."""

    rows: slice
    columns: slice


_WHOLE_MAP = _Seen(slice(0, POOLED_1), slice(0, POOLED_1))


def _windows_seen(images: Tensor) -> _Seen:
    """The least such that all others see blank pixels only, in each of the images [n, D]."""
    ink = has_ink(images).view(SIDE, SIDE)
    return _Seen(_windows_over(ink.any(1)), _windows_over(ink.any(0)))


def _windows_over(ink: Tensor) -> slice:
    """The windows, along one side, that see a pixel with ink [28]; one window if there is none."""
    inked = ink.nonzero().flatten().tolist() or [0]
    # Window w sees the pixels from 2 w - PADDING on, PATCH of them.
    first = max(inked[0] + PADDING - PATCH + POOL, 0) // POOL
    last = min((inked[-1] + PADDING) // POOL, POOLED_1 - 1)
    return slice(first, last + 1)


class _Memory:
    """Tensors by name, whose memory serves again when the same name is asked for."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._tensors: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """A contiguous tensor of this shape, its numbers undefined."""
        numbers = math.prod(shape)
        if name not in self._tensors or self._tensors[name].numel() < numbers:
            self._tensors[name] = self._like.new_empty(numbers)
        return self._tensors[name][:numbers].view(shape)


class _Convolution:
    """Memory of a convolution and the pooling behind it, for B networks and n images."""

    def __init__(
        self, name: str, memory: _Memory, owners: int, inputs: int, span: int, pooled: Tensor
    ) -> None:
        """owners: networks, or 1 where all share their input; inputs: channels; pooled: the pooled
        maps, to be computed, [B, H, O, W, n]."""
        networks, height, outputs, width, size = pooled.shape
        self.columns = _Columns(name, memory, owners, inputs, span, pooled)
        self.patches = self.columns.patches.expand(networks, -1, -1, -1)
        row = POOL // span * width * size
        self.maps = memory.take(f"{name} maps", networks, height, POOL * span * outputs, row)
        # Views by the row and the column within the window, [B, H, 2, 2, O, W n]; half: no row.
        self.windows = _by_column(self.maps.unflatten(2, (POOL, span, outputs)), width * size)
        half = memory.take(f"{name} half", networks, height, span, outputs, row)
        self.half = _by_column(half, width * size)
        self.pooled = pooled

    def forward(self, kernels: Tensor, pooling: "_Pooling") -> None:
        """From the columns to the pooled maps."""

        def windows_again() -> Tensor:
            maps = torch.empty_like(self.maps)
            _row_products(kernels, self.patches, out=maps)
            return maps.as_strided(self.windows.shape, self.windows.stride())

        _row_products(kernels, self.patches, out=self.maps)
        pooling.sums(self.windows, self.half, self.pooled.flatten(3), windows_again)

    def backward(self, delta: Tensor, pooling: "_Pooling") -> Tensor:
        """From the gradients for the pooled maps: those for the kernels, [B, 1, 3 planes, rows];
        and those for the maps, which take the place of these."""
        pooling.spread(delta.flatten(3)[:, :, None, None], self.windows)
        shape = (*self.maps.shape[:2], self.patches.shape[2], self.maps.shape[2])
        products = self.maps.new_empty(shape)
        _row_products(self.patches, self.maps.mT, out=products)
        return products.sum(1, keepdim=True)


class _Columns:
    """Columns of C input channels for pooled maps of H x W: [B, H + 2, 2 C taps + 1, (2 / span) W,
    n]. Along the width, the left columns of all windows come before the right ones."""

    def __init__(
        self, name: str, memory: _Memory, networks: int, channels: int, span: int, pooled: Tensor
    ) -> None:
        _, height, _, width, size = pooled.shape
        taps, parts = KERNEL + span - 1, POOL // span
        pairs, planes = height + PAIRS - 1, 2 * channels * taps + 1
        whole = memory.take(f"{name} columns", networks, pairs, planes, parts * width, size)
        self.whole = whole
        self.ones = whole[:, :, -1]
        # Without the ones, [B, pairs, 2, C, taps, 2 / span, W, n].
        pixels = whole[:, :, :-1].unflatten(3, (parts, width))
        self.pixels = pixels.unflatten(2, (2, channels, taps))
        # Every three consecutive pairs of rows as one matrix [3 planes, width n], without copying.
        shape = (networks, height, PAIRS * planes, parts * width * size)
        self.patches = whole.as_strided(shape, (*whole.stride()[:3], 1))

    def unfolding(self, maps: Tensor) -> Tensor:
        """The pixels of columns made of maps [B, H, C, W, n]: a view, as `pixels`."""
        taps = self.pixels.shape[4]
        windows = maps.unfold(3, PATCH, POOL).unfold(5, taps, 1)  # [B, H, C, W, n, 2 / span, taps]
        return windows.permute(0, 1, 2, 6, 5, 3, 4).unflatten(1, (-1, 2))


def _by_column(maps: Tensor, size: int) -> Tensor:
    """Maps [..., span, O, (2 / span) size] by the column within the window, [..., 2, O, size]."""
    return maps.unflatten(-1, (-1, size)).transpose(-3, -2).flatten(-4, -3)


class _Workspace:
    """Memory for a block of B networks and n images, and its geometry: what is a view of what.

    Kept from one block to the next: fresh memory has to be mapped in page by page.
    """

    def __init__(
        self,
        memory: _Memory,
        networks: int,
        size: int,
        seen: _Seen,
        shared: bool,
        gradients: bool,
    ) -> None:
        self.size, self.seen = size, seen
        owners = 1 if shared else networks
        rows, columns = seen
        self.pooled = memory.take("pooled", networks, POOLED_1, CHANNELS_1, POOLED_1, size)
        seen_pooled = self.pooled[:, rows, :, columns]
        self.first = _Convolution("first", memory, owners, 1, SPAN_1, seen_pooled)
        features = memory.take("features", networks, POOLED_2, CHANNELS_2, POOLED_2, size)
        self.second = _Convolution("second", memory, networks, CHANNELS_1, SPAN_2, features)
        # Images with a border; what the windows see of them.
        side = SIDE + 2 * PADDING
        bordered = memory.take("images", owners, side, side, size).zero_()
        self.pixels = bordered[:, PADDING:-PADDING, PADDING:-PADDING]
        seen_pixels = bordered[:, _pixels_under(rows), None, _pixels_under(columns)]
        self.unfolded_images = self.first.columns.unfolding(seen_pixels)
        self.unfolded_pooled = self.second.columns.unfolding(self.pooled)
        self.features = memory.take("scaled", networks, CHANNELS_2, POOLED_2, POOLED_2, size)
        if gradients:
            self.delta_pooled = memory.take("delta", *self.pooled.shape)
            self.delta_seen = self.delta_pooled[:, rows, :, columns]
            self.delta_unfolded = self.second.columns.unfolding(self.delta_pooled).unbind(4)
            self.delta_taps = self.second.columns.pixels.unbind(4)

    def unfold_images(self, images: Tensor) -> None:
        """Write the columns of images [B or 1, n, D]."""
        self.pixels.copy_(images.mT.unflatten(1, (SIDE, SIDE)))
        self.first.columns.pixels.copy_(self.unfolded_images)
        self.first.columns.ones.fill_(1.0)

    def unfold_pooled(self) -> None:
        """Write the columns of the first pooled maps."""
        self.second.columns.pixels.copy_(self.unfolded_pooled)
        self.second.columns.ones.fill_(1.0)

    def fold_delta(self) -> Tensor:
        """Gradients for the first pooled maps, from those for the columns made of them, which have
        taken the place of these."""
        self.delta_pooled.zero_()
        for pixels, taps in zip(self.delta_unfolded, self.delta_taps, strict=True):
            pixels += taps
        return self.delta_pooled


def _pixels_under(windows: slice) -> slice:
    """The pixels, of an image with its border, that these windows see."""
    return slice(POOL * windows.start, POOL * windows.stop + PATCH - POOL)


class _Blank(NamedTuple):
    """What windows of the first convolution are that see blank pixels only, for B networks."""

    windows: Tensor  # [B, 1, 2, 2, 6, n], as `_Pooling.sums` leaves them; all n are alike
    pooled: Tensor  # [B, 1, 6, 1, 1]
    delta: Tensor  # [B, 6], sums of the gradients for `pooled`

    @classmethod
    def of(cls, bias: Tensor, pooling: "_Pooling") -> "_Blank":
        """Those with biases [B, 6]."""
        # Filled vectors, or bits would depend on the place among the networks.
        inputs = -bias[:, None, None, None, :, None].expand(-1, 1, POOL, POOL, -1, VECTOR)
        windows = inputs.contiguous()
        half, pooled = torch.empty_like(windows[:, :, 0]), torch.empty_like(windows[:, :, 0, 0])
        pooling.sums(windows, half, pooled, lambda: inputs)
        return cls(windows, pooled[..., None, :1], torch.zeros_like(bias))

    def of_networks(self, rows: slice) -> "_Blank":
        """Those of some networks: views."""
        return _Blank(*(tensor[rows] for tensor in self))

    def add_gradients(self, pooling: "_Pooling", bias_sums: Tensor) -> None:
        """Add the gradients for the biases to others [B, 6]."""
        windows = self.windows.clone()
        delta = self.delta[:, None, None, None, :, None].expand(-1, -1, -1, -1, -1, VECTOR)
        pooling.spread(delta, windows)
        bias_sums.sub_(windows[..., 0].sum((1, 2, 3)))


@dataclass(frozen=True)
class _Networks:
    """B networks: parameters, and sums of gradients, arranged for the products."""

    activation: Activation
    pooling: "_Pooling"
    blocks: dict[str, Tensor]
    kernels: dict[str, Tensor]
    sums: dict[str, Tensor]  # of gradients for the blocks; none where they are not wanted
    kernel_sums: dict[str, Tensor]  # of gradients for the kernels
    blank: _Blank | None  # where blank windows are skipped

    @classmethod
    def of(
        cls, network: LeNet, params: Tensor, gradients: Tensor | None, skip_blank: bool
    ) -> "_Networks":
        """Those of params [B, P], whose gradients are to be added to gradients [B, P]."""
        blocks = network.split(params)
        kernels = {
            layer: _kernel_matrix(
                factor * blocks[f"{layer}.weight"], -blocks[f"{layer}.bias"], span
            )
            for layer, (factor, span) in CONVOLUTIONS.items()
        }
        sums, kernel_sums = {}, {}
        if gradients is not None:
            sums = network.split(gradients)
            kernel_sums = {layer: torch.zeros_like(matrix.mT) for layer, matrix in kernels.items()}
        blank = None
        if skip_blank:
            blank = _Blank.of(blocks["convolution_1.bias"], network.pooling)
        return cls(network.activation, network.pooling, blocks, kernels, sums, kernel_sums, blank)

    def __getitem__(self, rows: slice) -> "_Networks":
        """Some of them: views."""
        tensors = (self.blocks, self.kernels, self.sums, self.kernel_sums)
        views = ({name: tensor[rows] for name, tensor in group.items()} for group in tensors)
        blank = None if self.blank is None else self.blank.of_networks(rows)
        return _Networks(self.activation, self.pooling, *views, blank)

    def loss_sums(self, work: _Workspace, labels: Tensor) -> Tensor:
        """Loss sums of the block of images in the workspace; adds to the gradients if wanted."""
        features = self._convolve(work)
        if not self.sums:
            hidden = features
            for layer in HIDDEN_LAYERS:
                hidden = self.activation.value(self._dense(layer, hidden))
            losses = cross_entropy(self._dense(OUTPUT_LAYER, hidden), labels)
        else:
            inputs, complements = [features], []
            for layer in HIDDEN_LAYERS:
                value, complement = self.activation.value_and_complement(
                    self._dense(layer, inputs[-1])
                )
                inputs.append(value)
                complements.append(complement)
            losses, delta = cross_entropy_and_gradient(
                self._dense(OUTPUT_LAYER, inputs[-1]), labels
            )
            for layer in (OUTPUT_LAYER, HIDDEN_LAYERS[1]):
                delta = self._dense_back(layer, delta, inputs.pop())
                times_slope(delta, complements.pop())
            self._convolve_back(work, self._dense_back(HIDDEN_LAYERS[0], delta, inputs.pop()))
        return losses.sum(-1, dtype=torch.float64)

    def add_convolution_gradients(self) -> None:
        """Add the gradients for the convolutions, arranged as the parameters are, to the others."""
        if self.blank is not None and self.sums:
            self.blank.add_gradients(self.pooling, self.sums["convolution_1.bias"])
        for layer, matrix in self.kernel_sums.items():
            sums = self.sums[f"{layer}.weight"], self.sums[f"{layer}.bias"]
            _add_kernel_gradients(matrix.mT, *sums, *CONVOLUTIONS[layer])

    def _convolve(self, work: _Workspace) -> Tensor:
        """Features [B, 400, n]."""
        if self.blank is not None:
            work.pooled.copy_(self.blank.pooled)
        work.first.forward(self.kernels["convolution_1"], self.pooling)
        work.unfold_pooled()
        work.second.forward(self.kernels["convolution_2"], self.pooling)
        torch.mul(work.second.pooled.transpose(1, 2), -1.0 / POOL_AREA, out=work.features)
        return work.features.flatten(1, 3)

    def _convolve_back(self, work: _Workspace, delta: Tensor) -> None:
        """Add the gradients for the kernels, given those for the features [B, 400, n]."""
        delta = delta.mul_(-1.0 / POOL_AREA).unflatten(1, (CHANNELS_2, POOLED_2, POOLED_2))
        sums = self.kernel_sums
        sums["convolution_2"] += work.second.backward(delta.transpose(1, 2), self.pooling)
        work.second.columns.whole.zero_()
        kernels = self.kernels["convolution_2"].mT.squeeze(1)
        rows = zip(work.second.patches.unbind(1), work.second.maps.unbind(1), strict=True)
        for patch, delta_maps in rows:  # one by one, since patches overlap
            patch.baddbmm_(kernels, delta_maps)
        delta_pooled = work.fold_delta()
        sums["convolution_1"] += work.first.backward(work.delta_seen, self.pooling)
        if self.blank is not None:
            work.delta_seen.zero_()
            self.blank.delta.add_(delta_pooled.sum((1, 3, 4)))

    def _dense(self, layer: str, inputs: Tensor) -> Tensor:
        bias = self.blocks[f"{layer}.bias"].unsqueeze(2)
        return torch.baddbmm(bias, self.blocks[f"{layer}.weight"], inputs)

    def _dense_back(self, layer: str, delta: Tensor, inputs: Tensor) -> Tensor:
        """Gradients for the inputs of a dense layer; adds those for its weights and biases."""
        self.sums[f"{layer}.weight"].baddbmm_(delta, inputs.mT)
        self.sums[f"{layer}.bias"].add_(delta.sum(2))
        return torch.bmm(self.blocks[f"{layer}.weight"].mT, delta)


def _kernel_matrix(weight: Tensor, bias: Tensor, span: int) -> Tensor:
    """Kernels [B, O, C, 5, 5] and biases [B, O] as rows over the planes of three pairs, once for
    each row of a window and each column of the span: [B, 1, 2 span O, 3 planes].

    The planes of a pair are ordered (row, channel, tap), then that of ones; that of the first pair
    carries the bias.
    """
    networks, outputs, inputs = weight.shape[:3]
    taps = KERNEL + span - 1
    kernels = weight.new_zeros(networks, POOL, span, outputs, PATCH, inputs, taps)
    for part in _at_each_pixel(kernels):
        part.copy_(weight.transpose(2, 3))
    matrix = pad(kernels.unflatten(4, (PAIRS, 2)).flatten(5), (0, 1))
    matrix[..., 0, -1] = bias[:, None, None]
    return matrix.flatten(4).flatten(1, 3).unsqueeze(1)


def _add_kernel_gradients(
    matrix: Tensor, weight_sums: Tensor, bias_sums: Tensor, factor: float, span: int
) -> None:
    """Add gradients for `_kernel_matrix(factor * weight, -bias, span)` to those for both."""
    inputs, taps = weight_sums.shape[2], KERNEL + span - 1
    rows = matrix.unflatten(3, (PAIRS, -1)).unflatten(2, (POOL, span, -1)).squeeze(1)
    kernels = rows[..., :-1].unflatten(5, (2, inputs, taps)).flatten(4, 5)
    for part in _at_each_pixel(kernels):
        weight_sums.add_(part.transpose(2, 3), alpha=factor)
    bias_sums.sub_(rows[..., 0, -1].sum((1, 2)))


def _at_each_pixel(kernels: Tensor) -> Iterator[Tensor]:
    """Of kernels [B, 2, span, O, 6, C, taps], those for each pixel, [B, O, 5, C, 5]."""
    for row in range(POOL):
        for column in range(kernels.shape[2]):
            rows, columns = slice(row, row + KERNEL), slice(column, column + KERNEL)
            yield kernels[:, row, column, :, rows, :, columns]


def _row_products(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Matrix products out[b, y] = left[b, y] @ right[b, y] for every network b and row y.

    The two are not one batch dimension for bmm, since their strides differ or are zero; the longer
    one is the batch, and the other is looped over.
    """
    networks, rows = out.shape[:2]
    dim = 0 if networks <= rows else 1
    parts = (tensor.unbind(dim) for tensor in (left.expand(networks, rows, -1, -1), right, out))
    for left_part, right_part, out_part in zip(*parts, strict=True):
        torch.bmm(left_part, right_part, out=out_part)


class _Pooling(NamedTuple):
    """An activation, then sums over windows of 2 x 2 pixels. Windows are [B, W, 2, 2, ...]: row and
    column within the window, then the windows of a row; minus the input of the activation."""

    sums: Callable[[Tensor, Tensor, Tensor, Callable[[], Tensor]], None]
    """(windows, half, pooled, windows_again): writes minus the window sums to pooled [B, W, ...],
    and over the windows what `spread` will need; half [B, W, 2, ...] is scratch, and windows_again
    computes the windows once more."""

    spread: Callable[[Tensor, Tensor], None]
    """(delta, windows): from the gradients delta [B, W, 1, 1, ...] for the pooled maps, those for
    the windows, which they replace; windows as `sums` left them."""


def _softplus_sums(
    windows: Tensor, half: Tensor, pooled: Tensor, windows_again: Callable[[], Tensor]
) -> None:
    """One logarithm instead of four. Leaves sigmoid(-z)."""
    if pooled.device.type != "cpu":
        _softplus_sums_of_each(windows, pooled)
        return
    torch.sigmoid(windows, out=windows)
    torch.mul(windows[:, :, 0], windows[:, :, 1], out=half)
    torch.mul(half[:, :, 0], half[:, :, 1], out=pooled).log_()
    # Where the product is too small for a number of full precision: in trained networks one place
    # in a thousand, but in every block.
    tiny = torch.finfo(pooled.dtype).tiny
    least = math.log(tiny)
    if pooled.amin() >= least:
        return
    network, row, *place = (pooled < least).nonzero(as_tuple=True)
    factors = windows[network, row, :, :, *place]  # [places, 2, 2]
    logarithms = factors.log()
    if not (factors >= tiny).all():
        inputs = windows_again()[network, row, :, :, *place]
        logarithms = torch.where(factors < tiny, -softplus(-inputs), logarithms)
    pooled[network, row, *place] = logarithms.sum((1, 2))


def _softplus_sums_of_each(windows: Tensor, pooled: Tensor) -> None:
    """The same by four logarithms, for a GPU: to ask it where they are needed takes longer."""
    torch.sum(softplus(-windows), (2, 3), out=pooled).neg_()
    torch.sigmoid(windows, out=windows)


def _spread_softplus(delta: Tensor, windows: Tensor) -> None:
    torch.addcmul(delta, delta, windows, value=-1.0, out=windows)


def _relu_sums(
    windows: Tensor, half: Tensor, pooled: Tensor, windows_again: Callable[[], Tensor]
) -> None:
    """Leaves minus the activations."""
    windows.clamp_(max=0.0)
    torch.add(windows[:, :, 0], windows[:, :, 1], out=half)
    torch.add(half[:, :, 0], half[:, :, 1], out=pooled)


def _spread_relu(delta: Tensor, windows: Tensor) -> None:
    windows.sign_().neg_().mul_(delta)


_POOLINGS = {
    "softplus": _Pooling(_softplus_sums, _spread_softplus),
    "relu": _Pooling(_relu_sums, _spread_relu),
}

ARCHITECTURE = LeNet
