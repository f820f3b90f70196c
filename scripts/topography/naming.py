"""Names that files carry in their paths, and how architectures, optimizers and sets are printed.

A result file says what it holds by where it lies (``selection/lstm/sgd.csv``), so that commands
take plain lists of files. New architectures and optimizers need no entry here: their own name is
printed.
"""

from collections.abc import Iterable
from pathlib import Path

ARCHITECTURE_LABELS = {
    "fcp": "FCP",
    "lenet": "LeNet",
    "autoencoder": "Autoencoder",
    "lstm": "LSTM",
}
OPTIMIZER_LABELS = {"lbfgs": "L-BFGS", "sgd": "SGD"}
# What variants of the configuration are held against.
DEFAULT = "default"


def architecture_label(architecture: str) -> str:
    """Printed name of an architecture."""
    return ARCHITECTURE_LABELS.get(architecture, architecture)


def optimizer_label(optimizer: str) -> str:
    """Printed name of an optimizer."""
    return OPTIMIZER_LABELS.get(optimizer, optimizer)


def split_set(set_name: str) -> tuple[str, str]:
    """Optimizer and checkpoint of a set: ``lbfgs_train`` -> ``("lbfgs", "train")``."""
    optimizer, _, checkpoint = set_name.rpartition("_")
    return optimizer, checkpoint


def set_label(set_name: str) -> str:
    """Printed name of a set of weight vectors: ``lbfgs_train`` -> ``L-BFGS train``."""
    optimizer, checkpoint = split_set(set_name)
    return f"{optimizer_label(optimizer)} {checkpoint}"


def in_paper_order(optimizers: Iterable[str]) -> list[str]:
    """Each optimizer once, those of the paper first, others in order of appearance."""
    present = list(dict.fromkeys(optimizers))
    known = [name for name in OPTIMIZER_LABELS if name in present]
    return known + [name for name in present if name not in OPTIMIZER_LABELS]


def by_folder_and_stem(paths: Iterable[Path]) -> dict[tuple[str, str], Path]:
    """Index files ``.../{folder}/{stem}.{suffix}`` by (folder, stem), in the order given.

    The folder is the architecture; the stem is the set (``sets``, ``pairs``, ``barriers``) or the
    optimizer (``selection``).
    """
    return {(path.parent.name, path.stem): path for path in paths}
