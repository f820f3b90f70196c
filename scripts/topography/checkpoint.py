"""Resumable state of a long job, and polite ends when it is asked to stop."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np

from topography.errors import TopographyError
from topography.storage import StorageError, read_tensors_and_metadata, write_tensors


class Interrupted(TopographyError):
    """The job was asked to stop; its state is saved and the same command continues it."""


class Checkpoint:
    """A file a job saves its state to now and then, and resumes from when it is started again.

    It lies outside the workflow's declared outputs, which Snakemake removes before each attempt.
    The identity is everything the state depends on (settings, code, inputs): state of another
    identity is never resumed.
    """

    def __init__(self, path: Path, identity: str, interval: float = 60.0) -> None:
        """interval: seconds between saves."""
        self.path = path
        self.identity = identity
        self.interval = interval
        self._saved = time.monotonic()
        self._stop_signal: int | None = None

    def stop_on_signals(self) -> None:
        """From now on SIGTERM and SIGINT ask for a save and an end instead of ending at once."""

        def remember(number: int, frame: FrameType | None) -> None:
            self._stop_signal = number

        signal.signal(signal.SIGTERM, remember)
        signal.signal(signal.SIGINT, remember)

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        """Tensors and notes of the last save; None where there is none that can be used."""
        if not self.path.exists():
            return None
        try:
            tensors, notes = read_tensors_and_metadata(self.path)
        except StorageError as error:
            print(f"starting afresh, the checkpoint cannot be used: {error}", file=sys.stderr)
            return None
        if notes.pop("identity", None) != self.identity:
            print(
                f"starting afresh: {self.path} belongs to other settings, data or code",
                file=sys.stderr,
            )
            return None
        print(f"going on from {self.path}", file=sys.stderr, flush=True)
        return tensors, notes

    def offer(self, state: Callable[[], tuple[dict[str, np.ndarray], dict[str, str]]]) -> None:
        """Save `state()` if it is time to or the job was asked to stop.

        Raises:
            Interrupted: after saving, when the job was asked to stop.
        """
        if self._stop_signal is None and time.monotonic() - self._saved < self.interval:
            return
        tensors, notes = state()
        write_tensors(self.path, tensors, {**notes, "identity": self.identity})
        self._saved = time.monotonic()
        if self._stop_signal is not None:
            name = signal.Signals(self._stop_signal).name
            raise Interrupted(
                f"stopped by {name}; run the same command again to go on from {self.path}"
            )

    def remove(self) -> None:
        """Forget the state: the job is finished."""
        self.path.unlink(missing_ok=True)
