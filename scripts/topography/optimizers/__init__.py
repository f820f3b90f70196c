"""Optimizers, one file each, found by name."""

import importlib
from pathlib import Path
from typing import Any

from topography.errors import TopographyError
from topography.optimizers.base import Optimizer


def get_optimizer(name: str, **settings: Any) -> Optimizer:
    """The optimizer defined in `topography/optimizers/<name>.py`.

    settings: its keyword arguments, as in `config.yaml` under `optimizers`.

    Raises:
        TopographyError: no file of that name, or settings it does not take.
    """
    folder = Path(__file__).parent
    known = sorted(path.stem for path in folder.glob("[!_]*.py") if path.stem != "base")
    if name not in known:
        raise TopographyError(
            f"unknown optimizer {name!r}; there are {', '.join(known)} (in {folder})"
        )
    module = importlib.import_module(f"topography.optimizers.{name}")
    try:
        return module.OPTIMIZER(**settings)
    except (TypeError, ValueError) as error:
        raise TopographyError(f"optimizer {name!r}, settings {settings}: {error}") from error
