"""The images of a dataset as an architecture reads them, on a device."""

from pathlib import Path

import torch
from torch import Tensor

from topography.architectures.base import Architecture
from topography.datasets import TOKENS, Dataset, read_dataset
from topography.errors import TopographyError


def load_images(
    path: Path,
    train_images: int,
    test_images: int,
    architecture: Architecture,
    device: torch.device,
) -> tuple[Dataset, Tensor, Tensor]:
    """The first images of both parts of a dataset: as it holds them, and [N, D] and [M, D] on the
    device, pixels scaled to [0, 1] and tokens as they are.

    Raises:
        TopographyError: the dataset cannot be read, or not by the architecture.
    """
    dataset = read_dataset(path, train_images, test_images)
    check_images(dataset, path, architecture)
    parts = [
        torch.from_numpy(part).to(device).flatten(1)
        for part in (dataset.train_images, dataset.test_images)
    ]
    if dataset.content == TOKENS:
        train, test = (part.long() for part in parts)
    else:
        train, test = (part.float().div_(255.0) for part in parts)
    return dataset, train, test


def check_images(dataset: Dataset, path: Path, architecture: Architecture) -> None:
    """Refuse a dataset, from that file, whose images the architecture does not read."""
    size = None if dataset.content == TOKENS else dataset.train_images[0].size
    if size != architecture.image_size:
        raise TopographyError(
            f"{path} holds {_described(size)}, but the architecture {architecture.name} reads "
            f"{_described(architecture.image_size)}. Choose another dataset or architecture; mlp "
            "and resnet can be set to other images, with inputs and image."
        )


def _described(size: int | None) -> str:
    """Images of a size, see `Architecture.image_size`."""
    return "texts" if size is None else f"images of {size} numbers"
