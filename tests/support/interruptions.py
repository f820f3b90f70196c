"""Progress of a job that ends it, or asks it to stop, at a moment of its work."""

import os
import signal
from dataclasses import dataclass, field


class KilledError(Exception):
    """Stands for the end of the process."""


@dataclass
class KillAt:
    """Progress that ends the job when so much is done, before that is saved."""

    done: int
    reported: list[int] = field(default_factory=list)

    def update(self, done: int, detail: str = "") -> None:
        """Take down what is done; raise at the fatal moment."""
        self.reported.append(done)
        if done == self.done:
            raise KilledError

    def note(self, detail: str) -> None:
        """Nothing is counted here."""


@dataclass
class SignalAt:
    """Progress that sends this process a signal when so much is done."""

    done: int
    number: signal.Signals

    def update(self, done: int, detail: str = "") -> None:
        """Send the signal when it is time to."""
        if done == self.done:
            os.kill(os.getpid(), self.number)
