"""Small data for tests: random images and labels, random vectors, and slices of real MNIST."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[2]


def random_images(
    count: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Return `count` random images [count, 784] in [0, 1] and their labels [count] in 0..9."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 784, generator=generator, dtype=dtype)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return images, labels


def random_vectors(
    count: int, length: int, scale: float, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Return `count` normal vectors [count, length] with standard deviation `scale`."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, length, generator=generator, dtype=dtype)


def mnist_folder() -> Path | None:
    """Return the folder with the gzipped MNIST files, or None where there is none.

    The environment variable MNIST_SOURCE names it; a relative path starts at the repository root.
    """
    folder = REPOSITORY / os.environ.get("MNIST_SOURCE", "../shared/data/mnist")
    return folder if (folder / "train-images-idx3-ubyte.gz").is_file() else None


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped IDX file of unsigned bytes: images [N, 28, 28] or labels [N]."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").astype(int))
    return np.frombuffer(content[header:], dtype=np.uint8).reshape(shape)


def mnist_slice(
    folder: Path, part: str, count: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return the first `count` images [count, 784] in [0, 1] and labels of `part`: train, t10k."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:count]
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")[:count]
    pixels = torch.tensor(images.reshape(len(images), 784), dtype=dtype) / 255
    return pixels, torch.tensor(labels.astype(np.int64))
