"""A job ends when the Snakemake that started it is gone.

A killed Snakemake leaves its jobs running. Such an orphan would compete with the run that is
started next, and could overwrite what that run makes anew from other settings.
"""

import os
import signal
import threading
import time

from topography.errors import TopographyError

# Set by the workflow (rules/common/); absent where a script is run by hand, which must survive
# the end of the shell it was started from.
SNAKEMAKE_PID = "TOPOGRAPHY_SNAKEMAKE_PID"

_snakemake: int | None = None  # the parent to be watched


class OrphanedError(TopographyError):
    """The Snakemake that started this job is gone; what the job makes is wanted by nobody."""


def end_with_snakemake(interval: float = 1.0) -> None:
    """Send SIGTERM to this process as soon as the Snakemake that started it is gone.

    Does nothing for a script run by hand, nor where another process stands between the two (a
    container), since the end of a process that is no parent cannot be told reliably. A thread looks
    every `interval` seconds; Linux alone could signal the end of a parent itself.

    Raises:
        OrphanedError: it is gone already.
    """
    global _snakemake
    pid = int(os.environ.get(SNAKEMAKE_PID, "0"))
    if pid == 0:
        return
    if os.getppid() == pid:
        _snakemake = pid
        threading.Thread(target=_watch, args=(interval,), daemon=True).start()
    elif not _exists(pid):
        raise _orphaned(pid)


def refuse_orphan() -> None:
    """Call before results are published; an orphan has had its SIGTERM, but may be past heeding it.

    Raises:
        OrphanedError: the Snakemake that started this process is gone.
    """
    if _is_orphan():
        raise _orphaned(_snakemake)


def _is_orphan() -> bool:
    return _snakemake is not None and os.getppid() != _snakemake


def _watch(interval: float) -> None:
    while not _is_orphan():
        time.sleep(interval)
    os.kill(os.getpid(), signal.SIGTERM)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _orphaned(pid: int | None) -> OrphanedError:
    return OrphanedError(
        f"the Snakemake that started this job (process {pid}) is gone, so nothing is published. "
        "Run the same snakemake command again."
    )
