"""Optimizers, one file each, found by name."""

from typing import Any

from topography import modules
from topography.optimizers.base import Optimizer


def get_optimizer(name: str, **settings: Any) -> Optimizer:
    """The optimizer defined in `topography/optimizers/<name>.py`.

    settings: its keyword arguments, as in `config.yaml` under `optimizers`.

    Raises:
        TopographyError: no file of that name, or settings it does not take.
    """
    return modules.make("optimizer", name, settings)
