"""Architectures, one file each, found by name."""

import importlib
from pathlib import Path
from typing import Any

from topography.architectures.base import Architecture
from topography.errors import TopographyError


def get_architecture(name: str, **settings: Any) -> Architecture:
    """The architecture defined in `topography/architectures/<name>.py`.

    settings: keyword arguments of that architecture, such as `activation="relu"`.

    Raises:
        TopographyError: no file of that name, or settings it does not take.
    """
    folder = Path(__file__).parent
    known = sorted(
        path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "base")
    )
    if name not in known:
        raise TopographyError(
            f"unknown architecture {name!r}; there are {', '.join(known)} (in {folder})"
        )
    module = importlib.import_module(f"topography.architectures.{name}")
    try:
        return module.ARCHITECTURE(**settings)
    except (TypeError, ValueError) as error:
        raise TopographyError(f"architecture {name!r}, settings {settings}: {error}") from error
