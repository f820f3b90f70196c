"""Settings shared by all tests."""

import sys

from hypothesis import settings

# The same examples in every run, however long they take on a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_runtest_setup() -> None:
    """Let very small numbers be numbers again.

    Scripts make the processor count them as zero, also when a test runs one in its own process.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
