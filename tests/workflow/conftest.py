"""Clones of the repository, fresh and finished."""

import fcntl
import os
import shutil
from collections.abc import Callable
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
    """The workflow after a complete run at scale smoke. Leave it as it is."""
    return _copy(tmp_path_factory, "finished", copy_repository)


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The finished workflow with the report on agreement besides. Leave it as it is."""

    def copy_finished(folder: Path) -> Workflow:
        shutil.copytree(
            _shared(tmp_path_factory, "finished", copy_repository), folder, symlinks=True
        )
        return Workflow(folder)

    return _copy(tmp_path_factory, "reported", copy_finished, "results/agreement.html")


def _copy(
    factory: pytest.TempPathFactory, name: str, start: Callable[[Path], Workflow], *targets: str
) -> Workflow:
    """A copy for this process of a run of all."""
    folder = factory.mktemp(name) / "clone"
    shutil.copytree(_shared(factory, name, start, *targets), folder, symlinks=True)
    return Workflow(folder)


def _shared(
    factory: pytest.TempPathFactory, name: str, start: Callable[[Path], Workflow], *targets: str
) -> Path:
    """The folder of a run at scale smoke from what `start` puts into a folder.

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
    return original
