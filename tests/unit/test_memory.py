"""A batch that does not fit the memory is halved, and its results stay the same."""

import json
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from support.clones import REPOSITORY
from topography.architectures import get_architecture
from topography.device import advice_when_out_of_memory, choose_device
from topography.errors import TopographyError
from topography.jobs.path_searches import PathSettings, find_and_measure
from topography.objective import Objective
from topography.storage import read_tensors, write_table, write_tensors
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


def run(
    program: str, *arguments: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, whose memory it may limit."""
    folders = [str(REPOSITORY / name) for name in ("scripts", "tests", "tests/unit")]
    start = f"import sys; sys.path[:0] = {folders}\n{LIMIT}"
    return subprocess.run(
        [sys.executable, "-c", start + program, *arguments],
        cwd=folder,
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


WITHOUT_MEMORY = """
import importlib
from topography import training
from topography.jobs import command_line, converged_searches

def fail(*arguments, **settings):
    raise MemoryError

training.train = converged_searches.search = fail
sys.argv.pop(0)
command_line.run(importlib.import_module(sys.argv[0]).main)
"""


@pytest.mark.parametrize(
    ("script", "arguments", "advice"),
    [
        (
            "train",
            [
                *["--optimizer", "sgd", "--first-seed", "0", "--last-seed", "1", "--weights", "w"],
                "--optimizer-settings",
                '{"learning_rate": 0.1, "batch_size": 10, "epochs": 1}',
                *["--history", "h", "--runs", "r"],
            ],
            "Lower training.seeds_per_job: the networks stay the same.",
        ),
        (
            "converge_paths",
            [
                *["--set", "set", "--pairs", "pairs.csv", "--count", "1", "--output", "o"],
                "--settings",
                json.dumps(
                    {
                        **{"first": asdict(SETTINGS), "terms": [10], "doublings": 1},
                        **{"tolerance": 0.05, "points": 3, "learning_rate": 3e-3},
                        "images_per_step": None,
                    }
                ),
            ],
            "Lower converged.pairs, or converged.terms.",
        ),
    ],
)
def test_jobs_without_enough_memory_say_what_to_lower(
    script: str, arguments: list[str], advice: str, tmp_path: Path
) -> None:
    images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10
    parts = {"train_images": images, "train_labels": labels}
    parts |= {"test_images": images, "test_labels": labels}
    write_tensors(tmp_path / "data", parts)
    networks = initial_params(get_architecture("fcp"), [0, 1]).numpy()
    write_tensors(tmp_path / "set", {"weights": networks})
    write_table(tmp_path / "pairs.csv", pd.DataFrame({"i": [0], "j": [1]}))
    common = ["--data", "data", "--train-images", "20", "--test-images", "20"]
    common += ["--architecture", "fcp", "--device", "cpu", "--checkpoint", "checkpoint"]
    done = run(WITHOUT_MEMORY, script, *common, *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: out of memory. {advice}"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide themselves")
def test_memory_that_is_freed_stays_with_the_process() -> None:
    done = run(
        """
from topography.device import set_up_processor

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

set_up_processor(threads=1)
empty = resident()
blocks = [torch.ones(2**20) for _ in range(8)]
full = resident()
del blocks
print(full - empty, full - resident())
"""
    )
    assert done.returncode == 0, done.stderr
    taken, given_back = map(float, done.stdout.split())
    assert taken > 30, "eight blocks of 4 MB"
    assert given_back < 1


def test_denormal_numbers_count_as_zero() -> None:
    done = run(
        """
from topography.device import set_up_processor

set_up_processor(threads=1)
print((torch.tensor([1e-30]) * 1e-15).item())
"""
    )
    assert done.stdout == "0.0\n", done.stderr


@pytest.mark.parametrize("name", ["cuda", "gpu"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(TopographyError, match=r"sees no GPU|without CUDA|unknown device"):
        choose_device(name)


def test_older_switches_of_torch_agree_with_what_is_set_up() -> None:
    """Which other code reads, such as torch's own context of cuDNN's flags."""
    done = run(
        """
from topography.device import set_up_processor

set_up_processor(threads=1)
print(torch.backends.cudnn.allow_tf32, torch.backends.cudnn.conv.fp32_precision)
with torch.backends.cudnn.flags(enabled=True, deterministic=True):
    pass
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "ieee"]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_what_runs_out_of_memory_beside_the_allocator_counts(text: str) -> None:
    with (
        pytest.raises(TopographyError, match="Lower it"),
        advice_when_out_of_memory("Lower it."),
    ):
        raise RuntimeError(text)


def test_other_errors_pass_through() -> None:
    with (
        pytest.raises(RuntimeError, match="inconsistent tensor size"),
        advice_when_out_of_memory("Lower it."),
    ):
        torch.ones(2) @ torch.ones(3)
