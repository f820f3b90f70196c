"""Settings shared by all tests."""

import sys


def pytest_runtest_setup() -> None:
    """Let very small numbers be numbers again.

    Scripts make the processor count them as zero, also when a test runs one in its own process.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
