"""How far results are from what they should be."""

from torch import Tensor


def relative_error(value: Tensor, exact: Tensor) -> float:
    """Largest difference, relative to the largest exact number."""
    return ((value - exact).abs().max() / exact.abs().max().clamp(min=1e-300)).item()
