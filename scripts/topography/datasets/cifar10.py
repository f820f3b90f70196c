"""CIFAR-10: 50,000 training and 10,000 test images of 3 x 32 x 32 pixels (Krizhevsky 2009).

From the binary archive, since the one for Python, which torchvision reads, is pickled.
"""

import io
import tarfile
from pathlib import Path

import numpy as np

from topography.datasets import Dataset, DatasetError
from topography.datasets._published import PublishedFile, content_of

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
FILE = PublishedFile("cifar-10-binary.tar", "c32a1d4ab5d03f1284b67883e8d87530")
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6))
TEST = (f"{FOLDER}/test_batch.bin",)
RECORD = 1 + 3 * 32 * 32  # label, then the planes of red, green and blue


def load(folder: Path, source: str) -> Dataset:
    """Load CIFAR-10 from its mirror or from ``source``; see ``topography.datasets``."""
    return read_archive(content_of(FILE, MIRRORS, folder, source))


def read_archive(content: bytes) -> Dataset:
    """Dataset in the uncompressed tar archive.

    Raises:
        DatasetError: a file is missing from it or cut.
    """
    parts = []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for names in (TRAIN, TEST):
            records = np.concatenate([_records(archive, name) for name in names])
            parts += [records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].copy()]
    return Dataset(*parts, provenance={"md5 of archive": FILE.archive_md5})


def _records(archive: tarfile.TarFile, name: str) -> np.ndarray:
    """Labels and pixels [n, 3073] of one file."""
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    values = np.frombuffer(file.read() if file else b"", dtype=np.uint8)
    if len(values) == 0 or len(values) % RECORD:
        raise DatasetError(
            f"{FILE.archive} has no whole {name}: {len(values)} bytes are not a multiple of "
            f"{RECORD}. Replace it by an unharmed copy."
        )
    return values.reshape(-1, RECORD)
