"""Datasets published as the four IDX files of MNIST, read by torchvision."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets.mnist import read_image_file, read_label_file

from topography.datasets import Dataset
from topography.datasets._published import PublishedFile, content_of
from topography.storage import cannot_write


@dataclass(frozen=True)
class IdxFiles:
    """The four files of a dataset, in the order of the fields of ``Dataset``."""

    train_images: PublishedFile
    train_labels: PublishedFile
    test_images: PublishedFile
    test_labels: PublishedFile


def load_idx(files: IdxFiles, mirrors: Sequence[str], folder: Path, source: str) -> Dataset:
    """Fetch, check and read the four files of a dataset; the rest as for `content_of`.

    Raises:
        DatasetError: the source cannot be used, or a file is missing or damaged.
        StorageError: ``folder`` cannot be written.
    """
    fields = vars(files)
    contents = {name: content_of(file, mirrors, folder, source) for name, file in fields.items()}
    try:
        arrays = {name: _array(content, folder) for name, content in contents.items()}
    except OSError as error:
        raise cannot_write(folder, error) from error
    sums = {
        f"sha256 of {fields[name].name}": hashlib.sha256(content).hexdigest()
        for name, content in contents.items()
    }
    return Dataset(**arrays, provenance=sums)


def _array(content: bytes, folder: Path) -> np.ndarray:
    """Read images [N, 28, 28] or labels [N] with torchvision, whose reader wants a file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(content)
        file.flush()
        dimensions = content[3]  # fourth byte of an IDX file
        read = read_image_file if dimensions == 3 else read_label_file
        return read(file.name).numpy().astype(np.uint8)
