"""The machine that timings belong to: what it is, and how fast it multiplies matrices."""

import platform
import resource
import time
from collections.abc import Callable

import torch

from topography.report.reproduction import processor


def description(cores: int, device: torch.device) -> dict[str, object]:
    """What a reader of the timings should know of the machine and the software."""
    on_gpu = device.type == "cuda"
    return {
        "processor": torch.cuda.get_device_name(device) if on_gpu else processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores,
    }


def matrix_product_rate(device: torch.device, repeats: int = 5) -> float:
    """Floating-point operations per second of a large float32 matrix product, the best of a few."""
    size = 2048 if device.type == "cpu" else 8192
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    product = left @ right
    seconds = [
        seconds_of(lambda: torch.mm(left, right, out=product), device) for _ in range(repeats)
    ]
    return 2.0 * size**3 / min(seconds)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until a piece of work is done, on a GPU too."""
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done all it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has held so far, images and libraries included; on a GPU the
    most of the GPU's that its tensors have."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
