"""Clones of the repository, fresh and finished."""

from pathlib import Path

import pytest

from clones import SMOKE, Workflow, copy_repository


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the finished run in one process where pytest runs several."""
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("finished"))


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
