"""MNIST: 60,000 training and 10,000 test images of handwritten digits (LeCun, Cortes, Burges).

The SHA-256 sums are of the uncompressed files, so it does not matter who compressed them.
"""

from pathlib import Path

from torchvision.datasets import MNIST

from topography.datasets import Dataset
from topography.datasets._idx import IdxFiles, load_idx
from topography.datasets._published import PublishedFile

ARCHIVE_MD5 = dict(MNIST.resources)
FILES = IdxFiles(
    train_images=PublishedFile(
        "train-images-idx3-ubyte",
        ARCHIVE_MD5["train-images-idx3-ubyte.gz"],
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=PublishedFile(
        "train-labels-idx1-ubyte",
        ARCHIVE_MD5["train-labels-idx1-ubyte.gz"],
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=PublishedFile(
        "t10k-images-idx3-ubyte",
        ARCHIVE_MD5["t10k-images-idx3-ubyte.gz"],
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=PublishedFile(
        "t10k-labels-idx1-ubyte",
        ARCHIVE_MD5["t10k-labels-idx1-ubyte.gz"],
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load(folder: Path, source: str) -> Dataset:
    """Load MNIST from torchvision's mirrors or from ``source``; see ``topography.datasets``."""
    mirrors = [mirror for mirror in MNIST.mirrors if mirror.startswith("https://")]
    return load_idx(FILES, mirrors, folder, source)
