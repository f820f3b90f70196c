"""One run at a time; whatever way a run ends, the next one may start."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.clones import REPOSITORY
from topography.workflow import run_lock

HOLD = """\
import sys
from pathlib import Path
from topography.workflow import run_lock
run_lock.hold(Path("folder/run.lock"))
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that takes the lock and keeps it until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_ends_with_its_killed_holder(tmp_path: Path) -> None:
    first = holder(tmp_path)
    with pytest.raises(run_lock.AnotherRunError, match=f"process {first.pid} on .*another clone"):
        run_lock.hold(tmp_path / "folder/run.lock")
    first.kill()
    first.wait()
    second = holder(tmp_path)
    second.kill()
    second.wait()


def test_a_file_system_without_locks_gets_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    run_lock.hold(tmp_path / "run.lock")
    assert "cannot be locked (No locks available)" in capsys.readouterr().err
