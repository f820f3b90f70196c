"""Weights of networks that were trained elsewhere, read without trusting the file."""

from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open

from topography.errors import TopographyError

HOW_TO_CONVERT = (
    "Save the vectors with numpy.save as .npy, or with safetensors as the only tensor of a "
    ".safetensors file. Pickles (.pt, .pth, .pkl, arrays of Python objects) are never loaded: they "
    "can run code."
)


class ExternalWeightsError(TopographyError):
    """A file of weights cannot be used."""


def read_vectors(path: Path, parameters: int) -> np.ndarray:
    """Parameter vectors [n, P], float32, each in the order of PyTorch's ``module.parameters()``.

    path: a ``.npy`` file, or a ``.safetensors`` file with one tensor. parameters: P.

    Raises:
        ExternalWeightsError: the file is missing or damaged, is of another kind, holds Python
            objects, something else than floating-point numbers, NaN or infinity, fewer than two
            vectors, or vectors of another length.
    """
    readers = {".npy": _read_npy, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise ExternalWeightsError(f"{path} is neither .npy nor .safetensors. {HOW_TO_CONVERT}")
    vectors = readers[path.suffix](path)
    if vectors.dtype.kind != "f":
        raise ExternalWeightsError(
            f"{path} holds {vectors.dtype}, not floating-point numbers. {HOW_TO_CONVERT}"
        )
    if vectors.ndim != 2 or vectors.shape[1] != parameters or len(vectors) < 2:
        raise ExternalWeightsError(
            f"{path} has shape {list(vectors.shape)}, expected [n, {parameters}] with n of at "
            "least 2: a row per network, its parameters in PyTorch's order. Reshape it, or correct "
            "the name of the architecture under weights in the configuration."
        )
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise ExternalWeightsError(
            f"{path}: NaN, infinity or numbers beyond float32 in the rows {broken[:10].tolist()}. "
            "Leave these networks out."
        )
    return vectors


def _read_npy(path: Path) -> np.ndarray:
    try:
        content = np.load(path, allow_pickle=False)
    # Damaged headers are a TokenError, or a MemoryError where they name an enormous shape.
    except (OSError, ValueError, EOFError, BadZipFile, TokenError, MemoryError) as error:
        raise ExternalWeightsError(
            f"Cannot read {path}: {_in_short(error)}. {HOW_TO_CONVERT}"
        ) from None
    if not isinstance(content, np.ndarray):
        raise ExternalWeightsError(f"{path} is an archive, not an array. {HOW_TO_CONVERT}")
    return content


def _read_safetensors(path: Path) -> np.ndarray:
    try:
        with open(path, "rb"), safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if len(names) == 1:
                return file.get_tensor(names[0])
    # A type that numpy lacks, such as bfloat16, is a TypeError or an AttributeError.
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise ExternalWeightsError(
            f"Cannot read {path}: {_in_short(error)}. {HOW_TO_CONVERT}"
        ) from None
    raise ExternalWeightsError(f"{path} holds {len(names)} tensors, not one. {HOW_TO_CONVERT}")


def _in_short(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
