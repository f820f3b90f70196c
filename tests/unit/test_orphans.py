"""A job ends when the Snakemake that started it is gone; a script run by hand does not."""

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.clones import REPOSITORY
from support.waiting import wait_until
from topography.jobs import orphans

# Stands for Snakemake: starts a script with the variable that says who it is.
PARENT = """\
import os, subprocess, sys
environment = {**os.environ, **({"TOPOGRAPHY_SNAKEMAKE_PID": str(os.getpid())} if VARIABLE else {})}
subprocess.Popen(["bash", "-c", COMMAND], env=environment, start_new_session=True).wait()
"""
SCRIPT = """\
import os, time
from pathlib import Path
from topography.jobs import command_line, orphans

def main():
    Path("pid").write_text(str(os.getpid()))
    while not Path("go").exists():
        time.sleep(0.05)
    BODY

command_line.run(main)
"""


def start(folder: Path, *, variable: bool, body: str, command: str = "exec ") -> subprocess.Popen:
    """Start a parent with a job as its child, and wait for the job to be at work."""
    (folder / "script.py").write_text(SCRIPT.replace("BODY", body))
    command += f"'{sys.executable}' script.py > log 2>&1"
    if not command.startswith("exec"):
        command += "; true"  # or bash would replace itself all the same
    program = PARENT.replace("VARIABLE", str(variable)).replace("COMMAND", repr(command))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=folder, env=environment)
    wait_until((folder / "pid").exists)
    wait_until(lambda: (folder / "pid").read_text() != "")
    return parent


def is_running(pid: int) -> bool:
    """Whether a process of this number runs and is not merely waiting for its parent."""
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return status != "" and not status.startswith("Z")


def test_a_job_ends_with_a_killed_snakemake(tmp_path: Path) -> None:
    parent = start(tmp_path, variable=True, body="")
    job = int((tmp_path / "pid").read_text())
    assert is_running(job)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(job))


def test_a_job_that_does_not_heed_the_signal_publishes_nothing(tmp_path: Path) -> None:
    """As a training in its last epoch, which keeps SIGTERM for later."""
    body = """\
orphans.refuse_orphan()
    Path("published").touch()
"""
    ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    " + body
    parent = start(tmp_path, variable=True, body=ignoring)
    job = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    (tmp_path / "go").touch()
    wait_until(lambda: not is_running(job))
    assert not (tmp_path / "published").exists()


def test_a_job_publishes_while_snakemake_lives(tmp_path: Path) -> None:
    parent = start(tmp_path, variable=True, body="orphans.refuse_orphan(); Path('done').touch()")
    (tmp_path / "go").touch()
    assert parent.wait() == 0
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("variable", "command"), [(False, "exec "), (True, "")], ids=["by hand", "process in between"]
)
def test_others_go_on_when_their_parent_ends(tmp_path: Path, variable: bool, command: str) -> None:
    """A script run by hand, as under nohup; and one that is no child of Snakemake itself."""
    parent = start(tmp_path, variable=variable, body="Path('done').touch()", command=command)
    parent.kill()
    parent.wait()
    time.sleep(1.5)  # more than one look
    (tmp_path / "go").touch()
    wait_until((tmp_path / "done").exists)


def test_jobs_look_every_second() -> None:
    assert inspect.signature(orphans.end_with_snakemake).parameters["interval"].default == 1.0


def test_a_job_whose_snakemake_has_gone_before_it_looks_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setenv(orphans.SNAKEMAKE_PID, str(gone.pid))
    with pytest.raises(orphans.OrphanedError, match=f"process {gone.pid}.*Run the same"):
        orphans.end_with_snakemake()


def test_the_signal_is_one_that_jobs_save_their_state_at(tmp_path: Path) -> None:
    body = "signal.pause()"
    handler = "import signal; signal.signal(signal.SIGTERM, lambda *_: Path('saved').touch()); "
    parent = start(tmp_path, variable=True, body=handler + "Path('ready').touch(); " + body)
    (tmp_path / "go").touch()
    wait_until((tmp_path / "ready").exists)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until((tmp_path / "saved").exists)
