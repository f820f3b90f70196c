"""`snakemake --profile slurm` on a real Slurm, whose GPUs are fake: networks compute on the CPU."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from support.clones import Workflow
from support.slurm_cluster import Cluster, SlurmJob
from topography.storage import read_tensors

pytestmark = pytest.mark.slurm

# The profile as it is, but for the scale, the device, and a quicker look at so short a queue.
PROFILE = (
    *("--profile", "slurm"),
    *("--seconds-between-status-checks", "2"),
    *("--slurm-init-seconds-before-status-checks", "2"),
)
CONFIG = ("--config", "scale=smoke", "device=auto")
TRAINING = "results/smoke/training/fcp/lbfgs/seeds_1000-1003.safetensors"


def jobs_of(cluster: Cluster, before: int, rule: str) -> list[SlurmJob]:
    return [job for job in cluster.jobs()[before:] if job.rule == rule]


def test_the_whole_pipeline(cluster: Cluster, site: Workflow) -> None:
    before = len(cluster.jobs())
    site.run(*PROFILE, *CONFIG)
    sent = cluster.jobs()[before:]
    assert {job.state for job in sent} == {"COMPLETED"}
    # The costly stages ran in the GPU partition, each job with a GPU; the example in two dimensions
    # in the other one; all else on the machine where Snakemake ran.
    places = {(job.rule, job.partition, job.gpus) for job in sent}
    assert places == {
        ("train_networks", "gpu", 1),
        ("find_paths", "gpu", 1),
        ("find_paths_2d", "cpu", 0),
    }
    assert len(sent) == 8 + 24 + 1
    results = site.folder / "results"
    assert (results / "fig4.pdf").read_bytes().startswith(b"%PDF")
    assert set(pd.read_csv(results / "table1.csv")["architecture"]) == {
        "fcp",
        "lenet",
        "autoencoder",
        "lstm",
    }
    nothing_to_do = site.run("-n", *PROFILE, *CONFIG).stdout
    assert "Nothing to be done" in nothing_to_do


def test_a_training_that_runs_out_of_time_goes_on_from_its_checkpoint(
    cluster: Cluster, site: Workflow
) -> None:
    """A minute is Slurm's shortest limit, so the training is made to last for longer. On a busy
    machine it may take several attempts."""
    before = len(cluster.jobs())
    many = site.folder / "many.yaml"
    many.write_text("optimizers: {lbfgs: {iterations: 180}}\n")
    target = TRAINING
    unbroken = site.folder / "unbroken.safetensors"
    here = ["--executor", "local", "--cores", "2"]
    site.run(target, *PROFILE, *here, *CONFIG, "--configfile", "many.yaml")
    (site.folder / target).rename(unbroken)

    slowly = "training.epoch += 1; __import__('time').sleep(0.5)"
    with (
        site.edited("scripts/topography/training.py", "training.epoch += 1", slowly),
        site.edited("profiles/slurm/config.yaml", "runtime: 480", "runtime: 1"),
    ):
        site.run(target, *PROFILE, *CONFIG, "--configfile", "many.yaml", "--retries", "9")
    states = [job.state for job in jobs_of(cluster, before, "train_networks")]
    assert len(states) > 1
    assert set(states[:-1]) == {"TIMEOUT"}
    assert states[-1] == "COMPLETED"
    log = target.replace("training/", "logs/train_networks/").replace(".safetensors", ".log")
    assert "going on from results/smoke/checkpoints/training" in (site.folder / log).read_text()
    assert_same_tensors(site.folder / target, unbroken)


def test_a_failing_job_stops_what_depends_on_it_and_nothing_else(
    cluster: Cluster, site: Workflow
) -> None:
    before = len(cluster.jobs())
    optimizer = "scripts/topography/optimizers/lbfgs.py"
    broken = "raise RuntimeError('made to fail')\n        directions, pairs = search_directions("
    with site.edited(optimizer, "directions, pairs = search_directions(", broken):
        targets = ["results/smoke/selection/fcp/sgd.csv", "results/smoke/selection/fcp/lbfgs.csv"]
        done = site.run(*targets, *PROFILE, *CONFIG, "--retries", "1", check=False)
    assert done.returncode != 0
    assert (site.folder / targets[0]).is_file()
    assert not (site.folder / targets[1]).exists()
    states = [job.state for job in jobs_of(cluster, before, "train_networks")]
    assert sorted(states) == ["COMPLETED", "FAILED", "FAILED"]  # sent once more, as asked for
    assert "made to fail" in done.stdout + done.stderr


def assert_same_tensors(path: Path, other: Path) -> None:
    tensors, others = read_tensors(path), read_tensors(other)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert np.array_equal(tensor, others[name]), name
