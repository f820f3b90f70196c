"""Clones of the repository, fresh and finished."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.clones import SMOKE, Workflow, copy_repository


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
    """The workflow after a complete run at scale smoke. Leave it as it is."""
    return _finished(tmp_path_factory).copy(tmp_path_factory.mktemp("finished") / "clone")


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The finished workflow with the report on agreement besides. Leave it as it is."""
    start = _finished(tmp_path_factory).copy
    original = _shared(tmp_path_factory, "reported", start, "results/agreement.html")
    return original.copy(tmp_path_factory.mktemp("reported") / "clone")


def _finished(factory: pytest.TempPathFactory) -> Workflow:
    return _shared(factory, "finished", copy_repository)


def _shared(
    factory: pytest.TempPathFactory, name: str, start: Callable[[Path], Workflow], *targets: str
) -> Workflow:
    """The workflow after a run at scale smoke from what `start` puts into a folder.

    Where pytest works in several processes, one of them does the run, and the others wait for it.
    """
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    original, complete = shared / f"shared_{name}/clone", shared / f"shared_{name}/complete"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(original.parent, ignore_errors=True)
            start(original).run(*targets, "--cores", "2", *SMOKE)
            complete.touch()
    return Workflow(original)
