"""Image sets in ten classes, and texts cut into sequences, one module each, found by name.

Images have 28 x 28 grey pixels, which all architectures of the workflow take, or 3 x 32 x 32 colour
pixels, which `mlp` and `resnet` can be set to. A sequence of tokens stands in the place of an
image, with the token after each position as its labels; `transformer` takes those.

A dataset module offers one function::

    def load(folder: Path, source: str) -> Dataset

``folder`` is where it may keep what it downloads, and ``source`` says where the raw files are:
``download`` for the usual mirrors, a local folder, or the ``file://`` or ``https://`` address of a
mirror. A module whose data need no files ignores both. One that reads files of the user's own,
which no checksum fixes, says ``READS_OWN_FILES = True``: the workflow then makes the dataset anew
when the files of ``source``, one or a folder, have changed. Modules named with a leading underscore
are helpers, not datasets.
"""

import importlib
import pkgutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from topography.errors import TopographyError
from topography.storage import (
    AnyPath,
    check_shapes,
    read_shapes,
    read_tensors_and_metadata,
    write_tensors,
)

SIDE = 28
CLASSES = 10
GREY, COLOUR, TOKENS = "grey", "colour", "tokens"
# Content of a dataset -> shapes of one image and of its label.
CONTENTS: dict[str, tuple[tuple[int | str, ...], tuple[str, ...]]] = {
    GREY: ((SIDE, SIDE), ()),
    COLOUR: ((3, 32, 32), ()),
    TOKENS: (("L",), ("L",)),
}
FIELDS = ("train_images", "train_labels", "test_images", "test_labels")


class DatasetError(TopographyError):
    """A dataset is unknown, its raw files are missing or damaged, or it is too small."""


@dataclass(frozen=True)
class Dataset:
    """Images and labels as published: uint8, images from 0 (black) to 255; tokens: int32.

    Attributes:
        train_images, train_labels: [N, 28, 28] and [N], or [N, 3, 32, 32] and [N]; for tokens both
            [N, L].
        test_images, test_labels: likewise [M, ...].
        provenance: text notes stored with it: ``dataset``, ``sha256 of ...``. Not where it came
            from, or the same images from elsewhere would be another file and retrain everything.

    Raises:
        DatasetError: a type, shape or label does not fit.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """What the images are: grey, colour or tokens."""
        if self.train_images.dtype == np.int32:
            return TOKENS
        return COLOUR if self.train_images.ndim == 4 else GREY

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if self.content == TOKENS:
                _check_tokens(part, images, labels)
                continue
            if images.dtype != np.uint8 or labels.dtype != np.uint8:
                raise DatasetError(
                    f"{part} images and labels have types {images.dtype} and {labels.dtype}, "
                    "expected uint8. Correct the module that loads this dataset."
                )
            shape = CONTENTS[self.content][0]
            if images.shape != (len(labels), *shape) or labels.ndim != 1:
                raise DatasetError(
                    f"{part} images and labels have shapes {images.shape} and {labels.shape}, "
                    f"expected [N, {', '.join(map(str, shape))}] and [N]. "
                    "Correct the module that loads this dataset."
                )
            if (labels >= CLASSES).any():
                raise DatasetError(
                    f"{part} labels reach {labels.max()}, expected 0 to {CLASSES - 1}. "
                    "Correct the module that loads this dataset."
                )


def _check_tokens(part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Sequences and the tokens that follow, alike in shape and type, none negative."""
    same = images.shape == labels.shape and images.dtype == labels.dtype == np.int32
    if not same or images.ndim != 2 or min(images.min(), labels.min()) < 0:
        raise DatasetError(
            f"{part} tokens and those that follow are {images.dtype} {images.shape} and "
            f"{labels.dtype} {labels.shape}, expected int32 [N, L] twice, none negative. "
            "Correct the module that loads this dataset."
        )


def dataset_names() -> list[str]:
    """Names of all datasets: the public modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")


def load_dataset(name: str, folder: AnyPath, source: str) -> Dataset:
    """Load a dataset from its raw files by the name of its module.

    Args:
        name: module name, such as ``mnist``.
        folder: where raw downloads are kept; made if missing.
        source: ``download``, a local folder, or a ``file://`` or ``https://`` mirror.

    Raises:
        DatasetError: no such dataset, or its raw files are missing or damaged.
        StorageError: ``folder`` cannot be written.
    """
    if name not in dataset_names():
        raise DatasetError(
            f"Unknown dataset {name!r}; known are {', '.join(dataset_names())}. "
            "Choose one of these, or add a module of that name to topography/datasets."
        )
    dataset = importlib.import_module(f"{__name__}.{name}").load(Path(folder), source)
    return replace(dataset, provenance={"dataset": name, **dataset.provenance})


def write_dataset(path: AnyPath, dataset: Dataset) -> None:
    """Write a dataset, with its provenance as metadata, as one safetensors file.

    Raises:
        StorageError: the file cannot be written.
    """
    notes = dict(dataset.provenance)
    if dataset.content != GREY:
        notes["content"] = dataset.content
    write_tensors(path, {name: getattr(dataset, name) for name in FIELDS}, notes)


def read_dataset(
    path: AnyPath, train_images: int | None = None, test_images: int | None = None
) -> Dataset:
    """Read a dataset written by ``write_dataset``, or the first images of each part.

    Args:
        path: the safetensors file.
        train_images: how many of the first training images to keep; all if ``None``.
        test_images: the same for the test images.

    Raises:
        StorageError: the file is missing, damaged, or no dataset.
        DatasetError: it has fewer images than asked for, or an asked number is not positive.
    """
    tensors, notes = read_tensors_and_metadata(path)
    image, label = CONTENTS[notes.get("content", GREY)]
    shapes = {
        "train_images": ("N", *image),
        "train_labels": ("N", *label),
        "test_images": ("M", *image),
        "test_labels": ("M", *label),
    }
    check_shapes(path, tensors, shapes)
    train = _first(path, "train", train_images, len(tensors["train_labels"]))
    test = _first(path, "test", test_images, len(tensors["test_labels"]))
    return Dataset(
        train_images=tensors["train_images"][train],
        train_labels=tensors["train_labels"][train],
        test_images=tensors["test_images"][test],
        test_labels=tensors["test_labels"][test],
        provenance=notes,
    )


def image_counts(path: AnyPath) -> dict[str, int]:
    """How many images each part of a stored dataset has, "train" and "test", from its header alone.

    Raises:
        StorageError: the file is missing or is no dataset.
    """
    shapes = read_shapes(path, ("train_labels", "test_labels"))
    return {name.removesuffix("_labels"): shape[0] for name, shape in shapes.items()}


def _first(path: AnyPath, part: str, count: int | None, available: int) -> slice:
    """Slice of the first ``count`` images, all if ``None``; there must be that many."""
    if count is not None and not 1 <= count <= available:
        raise DatasetError(
            f"{path} has {available} {part} images, but {count} are asked for. "
            f"Set images.{part} between 1 and {available}."
        )
    return slice(count)
