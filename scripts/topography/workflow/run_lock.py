"""One run of the workflow at a time in a folder.

Snakemake's own lock is a file that outlives a killed Snakemake, so that the next run is refused
until somebody removes it by hand. The operating system's lock ends with the process that holds it,
however that process ends.
"""

import fcntl
import os
import socket
import sys
from pathlib import Path

from topography.errors import TopographyError

# Of the lock, in the folder of the workflow.
PLACE = Path(".snakemake", "run.lock")


class AnotherRunError(TopographyError):
    """Another run of the workflow is at work in the same folder."""


def holder(path: Path) -> str | None:
    """Who holds the lock `path`; None for nobody. Does not take it."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return file.read(200).decode(errors="replace") or "one that has just started"
        except OSError:  # a file system without locks
            return None
    return None


def hold(path: Path) -> None:
    """Lock `path` until this process ends, and write into it who holds it.

    A file system without locks, as some clusters have, gets a warning instead.

    Raises:
        AnotherRunError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT)  # never closed: that would give up the lock
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise AnotherRunError(
            f"Another run is at work in this folder: {holder(path)}. Wait until it ends, or stop "
            "it with Ctrl-C in its terminal, or with `kill -9` and its number: its jobs save their "
            "state and end. How far they are stands in their logs. To run something else "
            "meanwhile, use another clone of the repository."
        ) from None
    except OSError as error:
        print(
            f"warning: {path} cannot be locked ({error.strerror}); "
            "see to it that no second run is started in this folder",
            file=sys.stderr,
        )
        return
    os.ftruncate(file, 0)
    os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
