"""Choice of the device to compute on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from topography.errors import TopographyError

ASSUMED_GPU_MEMORY = 16 * 2**30


def choose_device(name: str) -> torch.device:
    """The device meant by "auto" (a GPU if there is one), "cpu" or "cuda".

    Raises:
        TopographyError: another name, or a GPU asked for where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name != "cuda":
        raise TopographyError(f'unknown device {name!r}: choose "auto", "cpu" or "cuda"')
    if not torch.cuda.is_available():
        build = torch.version.cuda
        why = f"torch {torch.__version__} is built for CUDA {build}, but sees no GPU (nvidia-smi)"
        if build is None:
            why = f"torch {torch.__version__} is a build without CUDA"
        raise TopographyError(
            f'device "cuda" was asked for, and there is none: {why}. '
            "Run on a node with a GPU, or with `--config device=auto`."
        )
    return torch.device("cuda")


def gpu_numbers() -> int:
    """How many float32 numbers work on the GPU should hold at a time: a 16th of its memory.

    Where there is no GPU, as for an estimate made elsewhere, one of 16 GiB is assumed.
    """
    memory = ASSUMED_GPU_MEMORY
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties("cuda").total_memory
    return memory // 16 // 4


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of a GPU, or of the machine, does not suffice."""
    # For the machine's own memory torch has no error of its own.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "can't allocate memory" in str(error)
    )


@contextmanager
def advice_when_out_of_memory(advice: str) -> Iterator[None]:
    """Turn running out of memory into an expected error with this advice.

    Raises:
        TopographyError: the memory does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TopographyError(f"out of memory. {advice}") from error
