"""Objects of the classes that stand in a file each and are found by its name."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topography.errors import TopographyError


def are_counts(*numbers: object) -> bool:
    """Whether all are whole numbers of at least 1."""
    return all(
        isinstance(number, int) and not isinstance(number, bool) and number >= 1
        for number in numbers
    )


def make(kind: str, name: str, settings: Mapping[str, Any]) -> Any:
    """The "architecture" or "optimizer" of `topography/<kind>s/<name>.py`, with these settings.

    Raises:
        TopographyError: no file of that name, no class in it, or settings it does not take.
    """
    folder = Path(__file__).parent / f"{kind}s"
    # base.py and names with an underscore are helpers of the others.
    known = sorted(path.stem for path in folder.glob("[!_]*.py") if path.stem != "base")
    if name not in known:
        raise TopographyError(
            f"unknown {kind} {name!r}; there are {', '.join(known)} (in {folder})"
        )
    module = importlib.import_module(f"topography.{kind}s.{name}")
    if not hasattr(module, kind.upper()):
        raise TopographyError(
            f"{folder / name}.py names no class as its {kind}. End it with "
            f"`{kind.upper()} = <your class>`."
        )
    try:
        return getattr(module, kind.upper())(**settings)
    except (TypeError, ValueError) as error:
        raise TopographyError(f"{kind} {name!r}, settings {settings}: {error}") from error
