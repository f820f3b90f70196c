"""Clones of the repository, fresh and finished."""

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
    workflow = copy_repository(tmp_path_factory.mktemp("finished") / "clone")
    workflow.run("--cores", "2", *SMOKE)
    return workflow
