"""Choice of the device to compute on, and how a job uses processor and memory."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from topography.errors import TopographyError

ASSUMED_GPU_MEMORY = 16 * 2**30
# Parameters of mallopt, from glibc's malloc.h, and the largest threshold it takes for the second.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20


def set_up_processor(threads: int) -> None:
    """Settings of every process that computes, for as long as it lives.

    Where networks are sure of an image, most of its gradients are too small for normal
    floating-point numbers, and CPUs take many times as long over such: they count as zero.
    Convolutions on a GPU are of float32, where torch would take TF32 unasked.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    # All three, or torch's older switches, which other libraries read, contradict each other.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    torch.backends.cudnn.rnn.fp32_precision = "ieee"
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let the allocator keep what is freed, instead of giving it back to the system.

    The activations of a chunk are as large as what glibc gives back at once; to get them again page
    by page, for every chunk, takes up to a quarter of the time on a virtual machine.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)


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
            "Run on a node with a GPU, or on the CPU with `--config device=auto`."
        )
    return torch.device("cuda")


def limit_gpu_memory(device: torch.device, share: float) -> None:
    """Let this process have no more than a share, above 0 to 1, of the memory of a GPU."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share)


def gpu_numbers() -> int:
    """How many float32 numbers work on the GPU should hold at a time: a 16th of its memory, or of
    the share of it that this process may have.

    Where there is no GPU, as for an estimate made elsewhere, one of 16 GiB is assumed.
    """
    memory = ASSUMED_GPU_MEMORY
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties("cuda").total_memory
        memory = int(memory * torch.cuda.get_per_process_memory_fraction())
    return memory // 16 // 4


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of a GPU, or of the machine, does not suffice."""
    # Only torch's allocator on a GPU has an error of its own; the machine's memory has none, and
    # neither has what a GPU's libraries and its driver ask for.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        sign in str(error)
        for sign in ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
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
