"""The two-dimensional example landscape of the paper's Fig. 3."""

import torch
from torch import Tensor

WELLS = ((-0.5, -0.5), (0.5, 0.0))  # c_i
HILLS = ((-0.2, -0.4), (0.0, 0.3))  # d_j
OFFSET = 1.0190055296306975  # C; makes the global minimum 0 but for 3e-5
START = (-0.62, -0.54)  # w_1
END = (0.49, -0.02)  # w_2


def two_wells(points: Tensor) -> Tensor:
    """f(x, y) [B] at points [B, 2]: two wells, two hills between them (caption of Fig. 3)."""
    wells = torch.tensor(WELLS, dtype=points.dtype, device=points.device)
    hills = torch.tensor(HILLS, dtype=points.dtype, device=points.device)
    well_depths = torch.exp(-3.0 * (points[:, None] - wells).square().sum(2)).sum(1)
    hill_heights = torch.exp(-15.0 * (points[:, None] - hills).square().sum(2)).sum(1)
    return hill_heights - well_depths + OFFSET


def two_wells_squared(points: Tensor) -> Tensor:
    """f(x, y)^2 [B]: what the published Fig. 3 minimises, as a mean squared error to 0."""
    return two_wells(points).square()
