"""What needs the internet is done first, by one command; after that a run does without."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reference.data import mnist_folder
from support.clones import Workflow

# As on a compute node: a network without any interface but its own.
CUT_OFF = ("unshare", "--net")
TARGET = "results/laptop/training/fcp/sgd/seeds_0-1.runs.csv"
SMALL = """\
images: {train: 300, test: 100}
optimizers: {sgd: {epochs: 1}}
training: {seeds: 2, seeds_per_job: 2}
selection: {keep: 2}
pairs: {count: 1}
paths: {images_per_step: 100}
architectures: {lenet: {override: null}, autoencoder: {override: null}, lstm: {override: null}}
"""


def can_cut_off() -> bool:
    if shutil.which(CUT_OFF[0]) is None:
        return False
    return subprocess.run([*CUT_OFF, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(mnist_folder() is None, reason="MNIST_SOURCE names no folder with MNIST")
@pytest.mark.skipif(not can_cut_off(), reason="no permission for a network of one's own (unshare)")
def test_after_the_data_no_network_is_needed(clone: Workflow, tmp_path: Path) -> None:
    source = tmp_path / "mnist"
    source.symlink_to(mnist_folder())
    (tmp_path / "small.yaml").write_text(f"data_source: {source}\n{SMALL}")
    settings = ("--configfile", str(tmp_path / "small.yaml"))
    clone.run("data", "--cores", "1", *settings)
    assert (clone.folder / "results/data/mnist.safetensors").is_file()

    source.unlink()
    unreachable = (*settings, "--config", "data_source=https://mirror.invalid/")
    waiting = clone.run("-n", TARGET, *unreachable, within=CUT_OFF).stdout
    assert "rule train_networks:" in waiting
    assert "rule prepare_dataset:" not in waiting
    clone.run("--cores", "1", TARGET, *unreachable, within=CUT_OFF)
    assert (clone.folder / TARGET).is_file()
