"""The 1797 handwritten digits that come with scikit-learn, made to look like MNIST.

Each 8 x 8 image becomes 28 x 28: every pixel a block of 3 x 3, with a border of 2. No download, so
that the whole pipeline can run anywhere within minutes.
"""

import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from topography.datasets import Dataset

WHITE = 16  # largest pixel value of the original
BLOCK = 3
BORDER = 2
TRAIN_IMAGES = 1500
SPLIT_SEED = 0


def load(folder: Path, source: str) -> Dataset:
    """Load the digits, shuffled, as 1500 training and 297 test images.

    ``folder`` and ``source`` have no effect: the images are part of scikit-learn.
    """
    digits = load_digits()
    # RandomState, because numpy promises never to change its numbers, unlike those of Generator.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(digits.target))
    images = enlarge(digits.images.astype(np.uint8))[order]
    labels = digits.target.astype(np.uint8)[order]
    return Dataset(
        train_images=images[:TRAIN_IMAGES],
        train_labels=labels[:TRAIN_IMAGES],
        test_images=images[TRAIN_IMAGES:],
        test_labels=labels[TRAIN_IMAGES:],
        provenance={
            "sha256 of images": hashlib.sha256(images.tobytes()).hexdigest(),
            "sha256 of labels": hashlib.sha256(labels.tobytes()).hexdigest(),
        },
    )


def enlarge(images: np.ndarray) -> np.ndarray:
    """Turn images [N, 8, 8] with values 0 to 16 into [N, 28, 28] with values 0 to 255, uint8."""
    grey = np.rint(images * (255 / WHITE)).astype(np.uint8)
    blocks = grey.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)
    return np.pad(blocks, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
