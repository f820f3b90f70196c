"""The mean loss of a set of images under many networks of one architecture at once.

Everything in this project asks for it: the epochs of 75 trainings, their line searches, the 51
points of 300 paths. Work is cut into chunks of images and of networks, small enough for a CPU's
caches and large enough to fill a GPU, so that memory is bounded whatever is asked.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from topography.architectures.base import Architecture, BlockwiseArchitecture, Chunk
from topography.device import gpu_numbers
from topography.landscape import Landscape, LinearCombinations

# Activations (numbers) held at a time on a CPU; they should stay in its caches. The images of a
# chunk depend on the number of points per family, never on the number of families, so that sums do
# not depend on how work is grouped.
CPU_ACTIVATIONS = 2**23
CPU_CHUNK_RANGE = (128, 1024)
# More than this, 1 GiB, a chunk never holds, but for the least there is: one image.
MOST_ACTIVATIONS = 2**28


class Objective(Landscape):
    """Mean loss over a set of images, as a landscape over an architecture's parameter vectors.

    Methods raise ValueError where vectors are not of the architecture's number of parameters, P.
    """

    def __init__(self, architecture: Architecture, images: Tensor, labels: Tensor) -> None:
        """images: [N, D] floating-point, pixels (in [0, 1], or standardised), as many as the
        architecture reads; labels: [N], int64. Of texts both are tokens [N, L], int64: each
        position and the one after it. Both on the device to compute on.

        Raises:
            ValueError: they are of another shape, number or type.
        """
        if images.dim() != 2:
            raise ValueError(
                f"images are {list(images.shape)}, expected [N, D]; images.flatten(1) makes that"
            )
        if len(images) != len(labels) or len(images) == 0:
            raise ValueError(f"got {len(labels)} labels for {len(images)} images")
        if architecture.image_size not in (None, images.shape[1]):
            raise ValueError(
                f"{architecture.name} reads images of {architecture.image_size} numbers, "
                f"these have {images.shape[1]}"
            )
        if architecture.image_size is not None and not images.is_floating_point():
            raise ValueError(
                f"images are {images.dtype}, expected pixels in [0, 1]; images / 255.0 makes that"
            )
        if labels.dtype != torch.int64:
            raise ValueError(f"labels are {labels.dtype}, expected int64; labels.long() makes that")
        texts = architecture.image_size is None
        if texts and images.dtype != torch.int64:
            raise ValueError(f"tokens are {images.dtype}, expected int64")
        expected = images.shape if texts else images.shape[:1]
        if labels.shape != expected:
            raise ValueError(f"labels are {list(labels.shape)}, expected {list(expected)}")
        self.architecture = architecture
        self.images = images
        self.labels = labels
        self._chunks: dict[int, list[Chunk]] = {}  # by their size

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def _floats_per_image(self) -> int:
        return self.architecture.floats_per_image(self.images.shape[1])

    def subset(self, indices: Tensor) -> "Objective":
        """The objective over the images with these indices [n]."""
        return Objective(self.architecture, self.images[indices], self.labels[indices])

    def _check_shape(self, vectors: Tensor, expected: str) -> None:
        """Raises ValueError where vectors are not of the expected shape, such as "[B, P]"."""
        parameters = self.architecture.parameter_count
        if vectors.dim() != len(expected.split()) or vectors.shape[-1] != parameters:
            raise ValueError(
                f"parameter vectors are {list(vectors.shape)}, expected {expected} with P = "
                f"{parameters}, the parameters of {self.architecture.name}"
            )

    def losses(self, points: Tensor) -> Tensor:
        self._check_shape(points, "[B, P]")
        return self.combination(points.unsqueeze(1)).losses(points.new_ones(1, 1)).squeeze(1)

    def losses_and_gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        self._check_shape(points, "[B, P]")
        combination = self.combination(points.unsqueeze(1))
        losses, gradients = combination.losses_and_gradients(points.new_ones(1, 1))
        return losses.squeeze(1), gradients.squeeze(1)

    def minibatch_losses_and_gradients(
        self, params: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean losses [B], float64, and gradients [B, P], each network on a minibatch of its own.

        params: [B, P]; indices: [B, n], the images of each network's minibatch.
        """
        self._check_shape(params, "[B, P]")
        params, size = params.detach(), min(self._chunk_size(1), indices.shape[1])
        # Nothing is projected for a minibatch, so networks need not take turns.
        few = self.family_chunks(len(params), 1, size, projected=True)
        parts = [self._minibatch_sums(params[rows], indices[rows].split(size, 1)) for rows in few]
        losses, gradients = (
            parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        )
        return losses / indices.shape[1], gradients.div_(indices.shape[1])

    def _minibatch_sums(self, params: Tensor, indices: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Loss sums and gradients of networks whose minibatches come in parts."""
        losses, gradients = self._part_sums(params, indices[0])
        for part in indices[1:]:
            sums, sum_gradients = self._part_sums(params, part)
            losses += sums
            gradients += sum_gradients
        return losses, gradients

    def _part_sums(self, params: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        # index_select copies whole images, which indexing by a matrix does not.
        images = self.images.index_select(0, indices.flatten())
        return self.architecture.loss_sums_and_gradients(
            params, images.view(*indices.shape, -1), self.labels[indices]
        )

    def combination(self, vectors: Tensor, reuse: bool = False) -> "NetworkCombinations":
        self._check_shape(vectors, "[B, K, P]")
        combinations = NetworkCombinations(self, vectors)
        return combinations.keep_projections() if reuse else combinations

    def chunks(self, points_per_family: int) -> list[Chunk]:
        """All images, cut such that the activations of one family stay within the budget.

        Images come in an order such that those of a chunk have many zeros in common, and as a view
        of [D, n]: activations are feature-major.
        """
        size = self._chunk_size(points_per_family)
        if size not in self._chunks:
            self._chunks[size] = self._cut(size)
        return self._chunks[size]

    def _cut(self, size: int) -> list[Chunk]:
        by_pixel, labels = self._sorted
        return [
            Chunk(images.mT, some_labels)
            for images, some_labels in zip(
                by_pixel.split(size, dim=1), labels.split(size), strict=True
            )
        ]

    @cached_property
    def _sorted(self) -> tuple[Tensor, Tensor]:
        """Images [D, N] and labels [N], sorted by where the blank margins end."""
        order = order_by_margins(self.images)
        return self.images[order].T.contiguous(), self.labels[order]

    def _chunk_size(self, points_per_family: int) -> int:
        floats = self._floats_per_image * points_per_family
        if self.images.device.type != "cpu":
            return max(gpu_numbers() // floats, 1)
        if isinstance(self.architecture, BlockwiseArchitecture):
            return self.count  # it sets up its memory once for all blocks
        smallest, largest = CPU_CHUNK_RANGE
        # A multiple of the smallest, so that rows of images fill vectors and cache lines.
        size = min(max(CPU_ACTIVATIONS // floats // smallest * smallest, smallest), largest)
        return min(size, max(MOST_ACTIVATIONS // floats, 1))

    def family_chunks(
        self, families: int, points_per_family: int, images: int, projected: bool
    ) -> list[slice]:
        """Slices of the families, as many at a time as fit the budget.

        On a CPU, families that are still to be projected take turns, since the rounding of that
        product can depend on their number; and those of an architecture that cuts its work itself
        stay together.
        """
        floats = self._floats_per_image * points_per_family * images
        if self.images.device.type != "cpu":
            chunk = gpu_numbers() // floats
        elif isinstance(self.architecture, BlockwiseArchitecture):
            chunk = families
        else:
            chunk = CPU_ACTIVATIONS // floats if projected else 1
        chunk = max(chunk, 1)  # there may be no families
        return [slice(first, first + chunk) for first in range(0, families, chunk)]


class NetworkCombinations(LinearCombinations):
    """Networks that are linear combinations of few vectors; losses summed chunk by chunk."""

    landscape: Objective

    def __init__(self, landscape: Objective, vectors: Tensor) -> None:
        super().__init__(landscape, vectors)
        read = landscape.images.dtype if landscape.images.is_floating_point() else vectors.dtype
        if vectors.dtype != read:
            raise ValueError(
                f"weights are {vectors.dtype}, images {read}; both must be of one type, as by "
                f"weights.to({read})"
            )
        self._kept: list[Tensor] | None = None

    def keep_projections(self) -> "NetworkCombinations":
        """Project the vectors on all images now, for many later calls of `losses`."""
        objective = self.landscape
        kept = [
            objective.architecture.project(self.vectors, chunk) for chunk in objective.chunks(1)
        ]
        self._kept = None if None in kept else kept
        return self

    def extended(self, vectors: Tensor) -> "NetworkCombinations":
        further = self.landscape.combination(vectors, reuse=self._kept is not None)
        result = NetworkCombinations(self.landscape, torch.cat([self.vectors, vectors], dim=1))
        if self._kept is not None and further._kept is not None:
            result._kept = [
                torch.cat([mine, new], dim=1)
                for mine, new in zip(self._kept, further._kept, strict=True)
            ]
        return result

    def losses(self, mixing: Tensor, rows: Tensor | None = None) -> Tensor:
        objective = self.landscape
        indices = list(range(len(self.vectors))) if rows is None else rows.tolist()
        mixing = mixing.expand(len(indices), -1, -1)
        losses = torch.zeros(mixing.shape[:2], dtype=torch.float64, device=self.vectors.device)
        for number, chunk, part in self._parts(mixing):
            families = _as_slice(indices[part])
            vectors = self.vectors[families]
            projections = self._projections(number, families, vectors, chunk)
            losses[part] += objective.architecture.combination_loss_sums(
                vectors, mixing[part], projections, chunk
            )
        return losses / objective.count

    def losses_and_gradients(self, mixing: Tensor, fixed: int = 0) -> tuple[Tensor, Tensor]:
        objective = self.landscape
        mixing = mixing.expand(len(self.vectors), -1, -1)
        losses = torch.zeros(mixing.shape[:2], dtype=torch.float64, device=self.vectors.device)
        gradients = torch.zeros_like(self.vectors[:, fixed:])
        for number, chunk, part in self._parts(mixing):
            vectors = self.vectors[part]
            projections = self._projections(number, part, vectors, chunk)
            losses[part] += objective.architecture.add_combination_gradients(
                vectors, mixing[part], projections, chunk, gradients[part]
            )
        return losses / objective.count, gradients.div_(objective.count)

    def _parts(self, mixing: Tensor) -> Iterator[tuple[int, Chunk, slice]]:
        """The work for mixing [A, M, K], cut: chunks of images by their numbers, those of the kept
        projections where there are any; and of each, slices of the families."""
        families, points, _ = mixing.shape
        kept = self._kept is not None
        for number, chunk in enumerate(self.landscape.chunks(1 if kept else points)):
            for part in self.landscape.family_chunks(families, points, len(chunk.images), kept):
                yield number, chunk, part

    def _projections(
        self, number: int, families: slice | list[int], vectors: Tensor, chunk: Chunk
    ) -> Tensor | None:
        if self._kept is None:
            return self.landscape.architecture.project(vectors, chunk)
        return self._kept[number][families]


def order_by_margins(images: Tensor) -> Tensor:
    """Indices [N] that put images [N, D] with like margins, rows and columns of zeros, together.

    Sorted by the margin at the top, those of one height by that on the left, then right and bottom;
    to and fro, as a Gray code counts, so that neighbours are alike also where a margin changes.
    """
    side = math.isqrt(images.shape[1])
    height = side if side**2 == images.shape[1] else 1
    ink = (images != 0).unflatten(1, (height, -1))
    rows, columns = ink.any(2), ink.any(1)
    place = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    for lines in (rows, columns, columns.flip(1), rows.flip(1)):
        margin = lines.to(torch.uint8).argmax(1)  # the first of the largest
        last = lines.shape[1] - 1
        place = (last + 1) * place + torch.where(place % 2 == 1, last - margin, margin)
    return place.argsort(stable=True)


def _as_slice(indices: list[int]) -> slice | list[int]:
    """The same indices as a slice where they are consecutive, so that indexing need not copy."""
    first, last = indices[0], indices[-1]
    consecutive = indices == list(range(first, last + 1))
    return slice(first, last + 1) if consecutive else indices
