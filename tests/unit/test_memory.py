"""A batch that does not fit the memory is halved, and its results stay the same."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clones import REPOSITORY
from topography.architectures import get_architecture
from topography.device import advice_when_out_of_memory
from topography.jobs.path_searches import PathSettings, find_and_measure
from topography.objective import Objective
from topography.storage import read_tensors
from topography.training import initial_params

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux can")

IMAGES, NETWORKS, PAIRS = 20, 8, 24
SETTINGS = PathSettings(
    terms=10,
    points=11,
    fine_points=21,
    penalty=1e-4,
    steps=2,
    learning_rate=1e-3,
    keep="lowest",
    images_per_step=None,
    images_seed=0,
    precision="exact",
)
# Allows so many MB beyond what the process has, and torch has after its first use.
LIMIT = """\
import re, resource, sys, torch
from pathlib import Path
torch.set_num_threads(1)
(torch.ones(64, 64, requires_grad=True) @ torch.ones(64, 64)).sum().backward()

def limit(megabytes):
    used = int(re.search(r"VmSize:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
"""


def measured(pairs_per_batch: int) -> dict[str, torch.Tensor]:
    """Paths between made-up networks, so many at a time."""
    architecture = get_architecture("fcp")
    stream = torch.Generator().manual_seed(0)
    landscape = Objective(
        architecture,
        torch.rand(IMAGES, 784, generator=stream),
        torch.randint(10, (IMAGES,), generator=stream),
    )
    weights = initial_params(architecture, list(range(NETWORKS)))
    pairs = torch.combinations(torch.arange(NETWORKS))[:PAIRS]
    return find_and_measure(landscape, weights, pairs, SETTINGS, pairs_per_batch)


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, whose memory it may limit."""
    folders = [str(REPOSITORY / name) for name in ("scripts", "tests", "tests/unit")]
    start = f"import sys; sys.path[:0] = {folders}\n{LIMIT}"
    return subprocess.run(
        [sys.executable, "-c", start + program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_paths_are_the_same_when_memory_allows_smaller_batches_only(tmp_path: Path) -> None:
    done = run(
        f"""
from test_memory import measured
from topography.storage import write_tensors
limit(200)
tensors = {{name: tensor.numpy() for name, tensor in measured({PAIRS}).items()}}
limit(4000)  # what the files need is another matter
write_tensors(sys.argv[1], tensors)
""",
        str(tmp_path / "paths.safetensors"),
    )
    assert done.returncode == 0, done.stderr
    assert "out of memory: going on with" in done.stderr
    expected = measured(1)
    found = read_tensors(tmp_path / "paths.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(torch.from_numpy(found[name]), tensor), name


def test_a_training_without_enough_memory_says_what_to_lower() -> None:
    done = run(
        """
from topography.jobs import command_line
from topography.device import advice_when_out_of_memory
from topography.training import initial_params
from topography.architectures import get_architecture

def main():
    with advice_when_out_of_memory("Lower training.seeds_per_job."):
        params = initial_params(get_architecture("fcp"), [0])
        limit(50)
        params.repeat(1000, 1)

command_line.run(main)
"""
    )
    assert done.returncode == 1
    assert done.stderr == "error: out of memory. Lower training.seeds_per_job.\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide themselves")
def test_memory_that_is_freed_and_needed_again_stays_with_the_process() -> None:
    done = run(
        """
from topography.device import set_up_processor

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        [torch.ones(1_000_000) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

set_up_processor(threads=1)
faults(2)
print(faults(10))
"""
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100, "a round without it takes hundreds"


def test_other_errors_pass_through() -> None:
    with (
        pytest.raises(RuntimeError, match="inconsistent tensor size"),
        advice_when_out_of_memory("Lower it."),
    ):
        torch.ones(2) @ torch.ones(3)
