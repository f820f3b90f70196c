"""The mean loss of a set of images under many networks of one architecture at once.

Everything in this project asks for it: the epochs of 75 trainings, their line searches, the 51
points of 300 paths. Work is cut into chunks of images and of networks, small enough for a CPU's
caches and large enough to fill a GPU, so that memory is bounded whatever is asked.
"""

import torch
from torch import Tensor

from topography.architectures.base import Architecture
from topography.landscape import Landscape, LinearCombinations

# Activations (numbers) held at a time. On a CPU they should stay in its caches. The images of a
# chunk depend on the number of points per family, never on the number of families, so that sums do
# not depend on how work is grouped.
CPU_ACTIVATIONS = 2**23
CPU_CHUNK_RANGE = (128, 1000)
GPU_ACTIVATIONS = 2**30
GPU_SMALLEST_CHUNK = 256


class Objective(Landscape):
    """Mean loss over a set of images, as a landscape over an architecture's parameter vectors."""

    def __init__(self, architecture: Architecture, images: Tensor, labels: Tensor) -> None:
        """images: [N, D], pixels in [0, 1]; labels: [N], int64; both where to compute."""
        if len(images) != len(labels) or len(images) == 0:
            raise ValueError(f"got {len(labels)} labels for {len(images)} images")
        self.architecture = architecture
        self.images = images
        self.labels = labels

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images)

    def subset(self, indices: Tensor) -> "Objective":
        """The objective over the images with these indices [n]."""
        return Objective(self.architecture, self.images[indices], self.labels[indices])

    def losses(self, points: Tensor) -> Tensor:
        return self.combination(points.unsqueeze(1)).losses(points.new_ones(1, 1)).squeeze(1)

    def losses_and_gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        combination = self.combination(points.unsqueeze(1))
        losses, gradients = combination.losses_and_gradients(points.new_ones(1, 1))
        return losses.squeeze(1), gradients.squeeze(1)

    def minibatch_losses_and_gradients(
        self, params: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean losses [B], float64, and gradients [B, P], each network on a minibatch of its own.

        params: [B, P]; indices: [B, n], the images of each network's minibatch.
        """
        losses, gradients = self.architecture.loss_sums_and_gradients(
            params, self.images[indices], self.labels[indices]
        )
        return losses / indices.shape[1], gradients.div_(indices.shape[1])

    def combination(self, vectors: Tensor, reuse: bool = False) -> "NetworkCombinations":
        combinations = NetworkCombinations(self, vectors)
        return combinations.keep_projections() if reuse else combinations

    def image_chunks(self, points_per_family: int) -> list[slice]:
        """Slices of the images such that the activations of one family stay within the budget."""
        floats = self.architecture.activation_floats * points_per_family
        if self.images.device.type == "cpu":
            smallest, largest = CPU_CHUNK_RANGE
            chunk = min(max(CPU_ACTIVATIONS // floats, smallest), largest)
            if self.architecture.blocks_on_cpu:
                chunk = largest
        else:
            chunk = max(GPU_ACTIVATIONS // floats, GPU_SMALLEST_CHUNK)
        return [
            slice(first, min(first + chunk, self.count)) for first in range(0, self.count, chunk)
        ]

    def family_chunks(self, families: int, points_per_family: int, images: int) -> list[slice]:
        """Slices of the families: as many as fit the budget on a GPU, one at a time on a CPU, or
        all where the architecture cuts its work itself."""
        if self.images.device.type != "cpu":
            floats = self.architecture.activation_floats * points_per_family * images
            chunk = max(GPU_ACTIVATIONS // floats, 1)
        else:
            chunk = families if self.architecture.blocks_on_cpu else 1
        return [slice(first, first + chunk) for first in range(0, families, chunk)]


class NetworkCombinations(LinearCombinations):
    """Networks that are linear combinations of few vectors; losses summed chunk by chunk."""

    landscape: Objective

    def __init__(self, landscape: Objective, vectors: Tensor) -> None:
        super().__init__(landscape, vectors)
        self._kept: list[Tensor | None] | None = None

    def keep_projections(self) -> "NetworkCombinations":
        """Project the vectors on all images now, for many later calls of `losses`."""
        objective = self.landscape
        self._kept = [
            objective.architecture.project(self.vectors, objective.images[chunk])
            for chunk in objective.image_chunks(1)
        ]
        return self

    def extended(self, vectors: Tensor) -> "NetworkCombinations":
        further = self.landscape.combination(vectors, reuse=self._kept is not None)
        result = NetworkCombinations(self.landscape, torch.cat([self.vectors, vectors], dim=1))
        if self._kept is not None and further._kept is not None:
            result._kept = [
                None if mine is None or new is None else torch.cat([mine, new], dim=1)
                for mine, new in zip(self._kept, further._kept, strict=True)
            ]
        return result

    def losses(self, mixing: Tensor, rows: Tensor | None = None) -> Tensor:
        objective = self.landscape
        indices = list(range(len(self.vectors))) if rows is None else rows.tolist()
        mixing = mixing.expand(len(indices), -1, -1)
        losses = torch.zeros(mixing.shape[:2], dtype=torch.float64, device=self.vectors.device)
        for number, chunk in enumerate(self._chunks(mixing)):
            images, labels = objective.images[chunk], objective.labels[chunk]
            for part in objective.family_chunks(len(indices), mixing.shape[1], len(images)):
                families = _as_slice(indices[part])
                vectors = self.vectors[families]
                losses[part] += objective.architecture.combination_loss_sums(
                    vectors,
                    mixing[part],
                    self._projections(number, families, vectors, images),
                    images,
                    labels,
                )
        return losses / objective.count

    def losses_and_gradients(self, mixing: Tensor) -> tuple[Tensor, Tensor]:
        objective = self.landscape
        mixing = mixing.expand(len(self.vectors), -1, -1)
        losses = torch.zeros(mixing.shape[:2], dtype=torch.float64, device=self.vectors.device)
        gradients = torch.zeros_like(self.vectors)
        for number, chunk in enumerate(self._chunks(mixing)):
            images, labels = objective.images[chunk], objective.labels[chunk]
            for part in objective.family_chunks(len(mixing), mixing.shape[1], len(images)):
                vectors = self.vectors[part]
                sums, sum_gradients = objective.architecture.combination_loss_sums_and_gradients(
                    vectors,
                    mixing[part],
                    self._projections(number, part, vectors, images),
                    images,
                    labels,
                )
                losses[part] += sums
                gradients[part] += sum_gradients
        return losses / objective.count, gradients.div_(objective.count)

    def _chunks(self, mixing: Tensor) -> list[slice]:
        """The image chunks to go through; those of the kept projections where there are any."""
        return self.landscape.image_chunks(1 if self._kept is not None else mixing.shape[1])

    def _projections(
        self, number: int, families: slice | list[int], vectors: Tensor, images: Tensor
    ) -> Tensor | None:
        if self._kept is None:
            return self.landscape.architecture.project(vectors, images)
        kept = self._kept[number]
        return None if kept is None else kept[families]


def _as_slice(indices: list[int]) -> slice | list[int]:
    """The same indices as a slice where they are consecutive, so that indexing need not copy."""
    first, last = indices[0], indices[-1]
    consecutive = indices == list(range(first, last + 1))
    return slice(first, last + 1) if consecutive else indices
