"""How a fixable problem reaches the user of any script."""

import sys
from collections.abc import Callable

from topography.errors import TopographyError


def run(main: Callable[[], None]) -> None:
    """Run ``main``; report an expected failure on stderr and exit with code 1, without a traceback.

    Any other exception is a defect of the program and keeps its traceback.
    """
    try:
        main()
    except TopographyError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
