"""A new architecture, optimizer, dataset or scale is one file and one entry, as the docs say."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from support.clones import SMOKE, Job, Workflow
from support.pages import blocks, write_files
from topography.storage import read_tensors
from topography.workflow.configuration import merge

PAGE = "docs/extending.md"
ALL_ARCHITECTURES = {"fcp", "lenet", "autoencoder", "lstm"}
# Rules that show all architectures together; the others are of one architecture or of none.
TOGETHER = {
    "plot_loss_curves",
    "plot_barriers",
    "plot_lengths",
    "plot_projections",
    "tabulate_losses",
    "tabulate_weights",
    "publish_figure",
    "publish_table",
}
ARCHITECTURE_ENTRY, OPTIMIZER_ENTRY, SETS_ENTRY = (
    yaml.safe_load(block.text) for block in blocks(PAGE, "yaml") if block.file is None
)


@pytest.fixture(scope="module")
def extended(finished: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow after a complete run at scale smoke, and then with the new files of the page."""
    workflow = finished.copy(tmp_path_factory.mktemp("extended") / "clone")
    write_files(PAGE, workflow.folder)
    return workflow


@contextmanager
def entered(workflow: Workflow, *entries: dict) -> Iterator[None]:
    """The configuration with these entries in config.yaml."""
    text = (workflow.folder / "config.yaml").read_text()
    config = yaml.safe_load(text)
    for entry in entries:
        config = merge(config, entry)
    with workflow.edited("config.yaml", text, yaml.safe_dump(config, sort_keys=False)):
        yield


def named(jobs: list[Job], wildcard: str, *rules: str) -> set[str]:
    """The values of a wildcard among the jobs, those of some rules or of all."""
    return {
        job.wildcards[wildcard]
        for job in jobs
        if wildcard in job.wildcards and (not rules or job.rule in rules)
    }


def test_a_new_architecture_goes_through_all_stages_and_touches_no_other(
    extended: Workflow,
) -> None:
    with entered(extended, ARCHITECTURE_ENTRY):
        jobs = extended.jobs(*SMOKE)
    assert named(jobs, "architecture") == {"shallow"}
    assert named(jobs, "optimizer", "train_networks") == {"sgd", "lbfgs"}
    joined = {
        (job.wildcards["landscape"], job.wildcards["set"])
        for job in jobs
        if job.rule == "find_paths"
    }
    assert joined == {
        *(("train", name) for name in ("sgd_train", "sgd_test", "lbfgs_train", "lbfgs_test")),
        *(("test", name) for name in ("sgd_test", "lbfgs_test")),
    }
    without_architecture = {job.rule for job in jobs if "architecture" not in job.wildcards}
    assert without_architecture == TOGETHER
    # All but Figures 1 and 3, which show no network, and 2, which is of the LSTM alone.
    assert named(jobs, "figure") == {"fig4", "fig5", "fig6", "figS1", "figS2", "figS3", "figS4"}


def test_a_new_optimizer_trains_everywhere_and_retrains_nothing(extended: Workflow) -> None:
    with entered(extended, OPTIMIZER_ENTRY, SETS_ENTRY):
        jobs = extended.jobs(*SMOKE)
    assert named(jobs, "optimizer") == {"momentum"}
    assert named(jobs, "architecture", "train_networks") == ALL_ARCHITECTURES
    assert named(jobs, "architecture", "find_paths") == ALL_ARCHITECTURES
    assert named(jobs, "set") == {"momentum_train", "momentum_test"}
    assert named(jobs, "landscape", "find_paths") == {"train", "test"}


def test_a_new_dataset_has_a_scale_of_its_own(extended: Workflow) -> None:
    target = "results/stripes/training/fcp/sgd/seeds_0-3.history.csv"
    jobs = extended.jobs(target, "--config", "scale=stripes")
    assert [job.rule for job in jobs] == ["prepare_dataset", "train_networks"]
    assert named(jobs, "dataset") == {"stripes"}


def test_a_new_scale_has_the_changes_of_its_file(extended: Workflow) -> None:
    target = "results/quick/training/fcp/lbfgs/seeds_1000-1003.history.csv"
    done = extended.run("-n", target, "--config", "scale=quick")
    assert "scale     quick: mnist, 2000 train and 1000 test images" in done.stderr
    assert "32 to train in 8 jobs" in done.stderr
    assert "72 to find in 24 jobs" in done.stderr
    assert '"iterations": 30' in done.stdout


def test_the_new_optimizer_trains_the_new_architecture(extended: Workflow, tmp_path: Path) -> None:
    few = tmp_path / "few.yaml"
    few.write_text("images: {train: 200, test: 100}\noptimizers: {momentum: {epochs: 2}}\n")
    stem = "results/smoke/training/shallow/momentum/seeds_2000-2003"
    with entered(extended, ARCHITECTURE_ENTRY, OPTIMIZER_ENTRY):
        extended.run("--cores", "1", f"{stem}.history.csv", *SMOKE, "--configfile", str(few))

    history = pd.read_csv(extended.folder / f"{stem}.history.csv")
    assert sorted(set(history["epoch"])) == [0, 1, 2]
    assert sorted(set(history["seed"])) == [2000, 2001, 2002, 2003]
    losses = history.pivot(index="seed", columns="epoch", values="train_loss")
    assert losses[0].between(2.2, 2.5).all()  # ln 10 = 2.30 for a network that knows nothing
    assert (losses[2] < losses[0]).all()

    weights = read_tensors(extended.folder / f"{stem}.safetensors")["train_weights"]
    assert weights.shape == (4, 784 * 30 + 30 + 30 * 10 + 10)
    assert np.isfinite(weights).all()
    assert len(np.unique(weights[:, 0])) == 4
