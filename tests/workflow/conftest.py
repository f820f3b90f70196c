"""Clones of the repository, fresh and finished."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from clones import SMOKE, Workflow, copy_repository


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow before anything ran. Do not run it: other tests share it."""
    return copy_repository(tmp_path_factory.mktemp("fresh") / "clone")


@pytest.fixture
def clone(tmp_path: Path) -> Workflow:
    """A workflow to change and to run."""
    return copy_repository(tmp_path / "clone")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow after a complete run at scale smoke. Leave it as it is.

    Where pytest works in several processes, one of them does the run and each gets a copy.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    original, complete = shared / "original/clone", shared / "original/complete"
    with (shared / "original.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(original.parent, ignore_errors=True)
            copy_repository(original).run("--cores", "2", *SMOKE)
            complete.touch()
    folder = tmp_path_factory.mktemp("finished") / "clone"
    shutil.copytree(original, folder, symlinks=True)
    return Workflow(folder)
