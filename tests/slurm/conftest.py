"""A Slurm cluster, and clones of the repository whose profile is edited for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clones import Workflow, copy_repository
from support.slurm_cluster import Cluster, running_cluster, why_not


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster; the tests are skipped where none can be started."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def site(tmp_path: Path) -> Workflow:
    """A clone after the edit that a user makes: the partitions of the cluster, in the profile.

    The rules ask for a GPU with device=cuda only. Here the GPUs are fake and networks compute on
    the CPU, so the profile asks for them, and jobs take one thread: two jobs of two threads get in
    each other's way where there are two cores.
    """
    workflow = copy_repository(tmp_path / "clone")
    profile = workflow.folder / "profiles/slurm/config.yaml"
    text = profile.read_text()
    for partition, times, gpu in (("cpu", 1, ""), ("gpu", 7, "\n    gpu: 1")):
        line = f"""slurm_partition: "'{partition}'\""""
        assert text.count(f"# {line}\n") == times, f"# {line}: not {times} times in the profile"
        text = text.replace(f"# {line}", line + gpu)
    for rule in ("train_networks", "find_paths"):
        assert text.count(f"  {rule}: 2\n") == 1, f"{rule} has not 2 threads in the profile"
        text = text.replace(f"  {rule}: 2\n", f"  {rule}: 1\n")
    profile.write_text(text)
    return workflow
