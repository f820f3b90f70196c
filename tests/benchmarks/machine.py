"""The machine that timings belong to: what it is, and how fast it multiplies matrices."""

import platform
import resource
import time

import torch

from topography.report.reproduction import processor


def description(cores: int) -> dict[str, object]:
    """What a reader of the timings should know of the machine and the software."""
    return {
        "processor": processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores,
    }


def matrix_product_rate(size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations per second of a large float32 matrix product, the best of a few."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    product = left @ right
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(left, right, out=product)
        seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(seconds)


def peak_memory_mb() -> float:
    """The most memory this process has held so far, images and libraries included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
