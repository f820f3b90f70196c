"""Fashion-MNIST: 60,000 training and 10,000 test images of clothing (Xiao, Rasul, Vollgraf 2017).

No SHA-256 of the uncompressed files is known to us. The MD5 sums of the archives that torchvision
publishes are checked instead, so a local folder must hold the original gzipped files.
"""

from pathlib import Path

from torchvision.datasets import FashionMNIST

from topography.datasets import Dataset
from topography.datasets._idx import IdxFiles, load_idx
from topography.datasets._published import PublishedFile

# torchvision's mirror is this bucket's website, which has no https; these addresses do.
MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
ARCHIVE_MD5 = dict(FashionMNIST.resources)
FILES = IdxFiles(
    *(
        PublishedFile(name, ARCHIVE_MD5[f"{name}.gz"])
        for name in (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        )
    )
)


def load(folder: Path, source: str) -> Dataset:
    """Load Fashion-MNIST from its mirrors or from ``source``; see ``topography.datasets``."""
    return load_idx(FILES, MIRRORS, folder, source)
