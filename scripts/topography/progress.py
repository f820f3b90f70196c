"""Progress of a long stage, as plain lines fit for a terminal and a log file alike."""

import sys
import time


class Progress:
    """Prints how far a stage is and the time left, at most once in `interval` seconds."""

    def __init__(self, label: str, total: int, interval: float = 10.0) -> None:
        """label: names the stage; total: units of work, including those before a resume."""
        self.label = label
        self.total = total
        self.interval = interval
        self._started = self._printed = time.monotonic()
        self._baseline: tuple[int, float] | None = None  # units done and time at the first update

    def update(self, done: int, detail: str = "") -> None:
        """Say that `done` units are finished; prints when it is time to, and at the end."""
        now = time.monotonic()
        if self._baseline is None:
            # What was done before (a resume) or took long once (imports) says nothing of the rate.
            self._baseline = (done, now)
        if now - self._printed < self.interval and done < self.total:
            return
        self._printed = now
        first, since = self._baseline
        left = ""
        if done > first:
            left = f", {_clock((now - since) * (self.total - done) / (done - first))} left"
        self.note(
            f"{done}/{self.total} ({100 * done // self.total} %), "
            f"{_clock(now - self._started)} passed{left}{'; ' if detail else ''}{detail}"
        )

    def note(self, detail: str) -> None:
        """Say something at once, such as what is done now where that is not counted as work."""
        print(f"{self.label}: {detail}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
