"""What all the scripts share: one-line errors, and settings given as a JSON argument."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from topography.errors import TopographyError
from topography.jobs import orphans


def run(main: Callable[[], None]) -> None:
    """Call ``main``; an expected error becomes one line on stderr and exit status 1.

    Any other exception keeps its traceback, because it is a defect somebody has to find. A job of
    Snakemake ends with it.
    """
    try:
        orphans.end_with_snakemake()
        main()
    except TopographyError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


def count(text: str) -> int:
    """Read a whole number of at least 1: ``add_argument("--threads", type=count)``."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def settings(text: str) -> dict[str, Any]:
    """Read a JSON object given as one argument: ``add_argument("--settings", type=settings)``.

    Raises:
        argparse.ArgumentTypeError: ``text`` is not JSON, holds NaN or infinity, or is no object.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not JSON ({error}); write one quoted object such as '{{\"epochs\": 75}}'"
        ) from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(
            f"{text!r} is JSON but not an object; write one such as '{{\"epochs\": 75}}'"
        )
    return value


def _refuse_constant(name: str) -> NoReturn:
    """Turn away the non-finite numbers that Python's JSON reader lets in."""
    raise ValueError(f"{name} is not a number a setting can have")
