"""Progress of a long stage, as plain lines fit for a terminal and a log file alike."""

import sys
import time


class Progress:
    """Prints how far a stage is and the time left, at most once in `interval` seconds."""

    def __init__(self, label: str, total: int, interval: float = 10.0) -> None:
        """label: names the stage; total: units of work in all, those done before a resume
        included."""
        self.label = label
        self.total = total
        self.interval = interval
        self._started = time.monotonic()
        self._printed = self._started
        self._first_done: int | None = None

    def update(self, done: int, detail: str = "") -> None:
        """Say that `done` units are finished; prints when it is time to, and at the end."""
        now = time.monotonic()
        if self._first_done is None:
            self._first_done = done - 1  # units done before this process started cost no time here
        if now - self._printed < self.interval and done < self.total:
            return
        self._printed = now
        passed = now - self._started
        left = passed * (self.total - done) / max(done - self._first_done, 1)
        print(
            f"{self.label}: {done}/{self.total} ({100 * done // self.total} %), "
            f"{_clock(passed)} passed, {_clock(left)} left{'; ' if detail else ''}{detail}",
            file=sys.stderr,
            flush=True,
        )


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
