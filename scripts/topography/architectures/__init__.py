"""Architectures, one file each, found by name."""

from typing import Any

from topography import modules
from topography.architectures.base import Architecture


def get_architecture(name: str, **settings: Any) -> Architecture:
    """The architecture defined in `topography/architectures/<name>.py`.

    settings: keyword arguments of that architecture, such as `activation="relu"`.

    Raises:
        TopographyError: no file of that name, or settings it does not take.
    """
    return modules.make("architecture", name, settings)
