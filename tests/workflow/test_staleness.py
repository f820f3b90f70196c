"""An edit reruns the stages that depend on it, and no other."""

import os
import shutil
from pathlib import Path

import pytest

from support.clones import SMOKE, Workflow

CODE = "\nUNUSED = 1\n"
LIBRARY = "scripts/topography"
AFTER_PATHS = {"find_paths", "collect_barriers", "plot_barriers", "publish_figure"}
AFTER_SELECTION = AFTER_PATHS | {
    "select_networks",
    "sample_pairs",
    "weigh_solutions",
    "measure_lengths",
    "project_solutions",
    "plot_loss_curves",
    "plot_lengths",
    "plot_projections",
    "tabulate_losses",
    "tabulate_weights",
    "publish_table",
}


def test_nothing_is_left_to_do_after_a_run(finished: Workflow) -> None:
    assert finished.jobs(*SMOKE) == []


def test_comments_docstrings_and_layout_rerun_nothing(finished: Workflow) -> None:
    file = f"{LIBRARY}/paths.py"
    with (
        finished.edited(file, "", "\n# A comment.\n"),
        finished.edited(file, '"""', '"""A docstring. '),
        finished.edited(file, "\ndef ", "\n\n\ndef  "),
    ):
        assert finished.jobs(*SMOKE) == []


def test_a_touch_of_all_code_reruns_nothing(finished: Workflow) -> None:
    for file in (finished.folder / "scripts").rglob("*.py"):
        file.touch()
    for folder in ("rules", "config", "envs"):
        for file in (finished.folder / folder).iterdir():
            file.touch()
    assert finished.jobs(*SMOKE) == []


def test_a_dataset_made_again_with_the_same_bytes_reruns_nothing(finished: Workflow) -> None:
    data = finished.folder / "results/data/digits.safetensors"
    before = data.stat()
    assert before.st_size > 1_000_000  # smaller files Snakemake compares unasked
    data.touch()
    jobs = finished.jobs(*SMOKE)
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert jobs == []


def test_path_code_reruns_paths_and_what_follows(finished: Workflow) -> None:
    with finished.edited(f"{LIBRARY}/paths.py", "", CODE):
        rules = finished.rules(*SMOKE)
    # Figure 3 shows paths too, on the example in two dimensions.
    assert rules == AFTER_PATHS | {"find_paths_2d", "plot_landscape_2d"}


def test_figure_code_reruns_that_figure(finished: Workflow) -> None:
    with finished.edited(f"{LIBRARY}/figures/lengths.py", "", CODE):
        jobs = finished.jobs(*SMOKE)
    assert {job.rule for job in jobs} == {"plot_lengths", "publish_figure"}
    assert {job.wildcards["figure"] for job in jobs} == {"fig5", "figS3"}


def test_a_label_reruns_figures_and_tables_only(finished: Workflow) -> None:
    with finished.edited(f"{LIBRARY}/naming.py", '"LeNet"', '"LeNet-5"'):
        rules = finished.rules(*SMOKE)
    assert "plot_barriers" in rules
    assert {rule.split("_")[0] for rule in rules} == {"plot", "tabulate", "publish"}


@pytest.mark.parametrize("architecture", ["fcp", "lenet", "autoencoder", "lstm"])
def test_architecture_code_reruns_that_architecture(finished: Workflow, architecture: str) -> None:
    with finished.edited(f"{LIBRARY}/architectures/{architecture}.py", "", CODE):
        jobs = finished.jobs(*SMOKE)
    assert {"train_networks", "find_paths"} <= {job.rule for job in jobs}
    assert {job.wildcards.get("architecture", architecture) for job in jobs} == {architecture}


def test_optimizer_code_retrains_that_optimizer(finished: Workflow) -> None:
    with finished.edited(f"{LIBRARY}/optimizers/sgd.py", "", CODE):
        jobs = finished.jobs(*SMOKE)
    trained = {job.wildcards["optimizer"] for job in jobs if job.rule == "train_networks"}
    assert trained == {"sgd"}
    joined = {job.wildcards["set"] for job in jobs if job.rule == "find_paths"}
    assert joined == {"sgd_train", "sgd_test"}


def test_dataset_code_reruns_the_preparation(finished: Workflow) -> None:
    with finished.edited(f"{LIBRARY}/datasets/digits.py", "", CODE):
        assert "prepare_dataset" in finished.rules(*SMOKE)
    with finished.edited(f"{LIBRARY}/datasets/mnist.py", "", CODE):
        assert finished.jobs(*SMOKE) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("selection: {keep: 4}", AFTER_SELECTION),
        ("pairs: {seed: 1}", AFTER_PATHS | {"sample_pairs"}),
        ("paths: {steps: 11}", AFTER_PATHS),
        (
            "kernel_pca: {kernels: [rbf]}",
            {"project_solutions", "plot_projections", "publish_figure"},
        ),
        (
            "landscape_2d: {penalties: [10, 1000, 100]}",
            {"find_paths_2d", "plot_landscape_2d", "publish_figure"},
        ),
    ],
    ids=["keep", "pairs", "path steps", "kernels", "two dimensions"],
)
def test_a_setting_reruns_its_stage_and_what_follows(
    finished: Workflow, tmp_path: Path, change: str, expected: set[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(change)
    assert finished.rules(*SMOKE, "--configfile", str(file)) == expected


def test_settings_that_swap_their_values_are_noticed(finished: Workflow, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("images: {train: 100, test: 290}")  # smoke has 290 and 100
    assert "train_networks" in finished.rules(*SMOKE, "--configfile", str(file))


@pytest.mark.parametrize(
    "same",
    [
        "images: {test: 100}",
        "optimizers: {lbfgs: {iterations: 5}, sgd: {epochs: 3}}",
        "architectures: {lstm: {override: null}}",
    ],
)
def test_values_already_in_force_rerun_nothing_in_whatever_order(
    finished: Workflow, tmp_path: Path, same: str
) -> None:
    """Snakemake puts the keys of such a file before all others."""
    file = tmp_path / "mine.yaml"
    file.write_text(same)
    assert finished.jobs(*SMOKE, "--configfile", str(file)) == []


def test_an_override_reruns_its_architecture(finished: Workflow, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("architectures: {lenet: {override: {optimizers: {sgd: {epochs: 4}}}}}")
    jobs = finished.jobs(*SMOKE, "--configfile", str(file))
    trained = [job.wildcards for job in jobs if job.rule == "train_networks"]
    assert [(names["architecture"], names["optimizer"]) for names in trained] == [("lenet", "sgd")]


def test_how_it_is_computed_reruns_nothing(finished: Workflow) -> None:
    changes = ["device=cuda", "gpu_memory=0.5", "data_source=/some/where else"]
    assert finished.jobs("--config", "scale=smoke", *changes) == []


def test_a_text_of_ones_own_is_an_input(clone: Workflow, tmp_path: Path) -> None:
    target = "results/data/text.safetensors"
    one, other = tmp_path / "one.txt", tmp_path / "another one.txt"
    for file in (one, other):
        file.write_text("A text. " * 100)

    def rules(source: Path) -> set[str]:
        return clone.rules(target, *SMOKE, f"data_source={source}")

    clone.run("--cores", "1", target, *SMOKE, f"data_source={one}")
    assert rules(one) == set()
    assert rules(other) == {"prepare_dataset"}
    one.write_text("A longer text. " * 100)
    assert rules(one) == {"prepare_dataset"}
    done = clone.run("-n", target, *SMOKE, check=False)
    assert "there is none at download" in done.stdout + done.stderr
    assert "data_source=<path>" in done.stdout + done.stderr


def test_files_of_a_folder_of_ones_own_are_inputs(clone: Workflow, tmp_path: Path) -> None:
    module = clone.folder / "scripts/topography/datasets/mine.py"
    code = (clone.folder / "scripts/topography/datasets/digits.py").read_text()
    module.write_text(f"{code}\nREADS_OWN_FILES = True\n")
    target, folder = "results/data/mine.safetensors", tmp_path / "mine"
    folder.mkdir()
    (folder / "one").write_text("1")
    here = (target, *SMOKE, f"data_source={folder}")
    clone.run("--cores", "1", *here)
    assert clone.rules(*here) == set()
    (folder / "another").write_text("2")
    assert clone.rules(*here) == {"prepare_dataset"}
    module.unlink()


def test_weights_that_are_not_there_are_told(clone: Workflow, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("weights: {fcp: {sgd: {train: nosuch.npy, test: nosuch.npy}}}")
    target = "results/smoke/selection/fcp/sgd.csv"
    done = clone.run("-n", target, *SMOKE, "--configfile", str(file), check=False)
    assert done.returncode != 0
    assert "weights.fcp.sgd.train names nosuch.npy, and there is no such file" in (
        done.stdout + done.stderr
    )


def test_more_images_than_there_are_remove_nothing(finished: Workflow) -> None:
    """Snakemake would remove the trained networks before the job noticed."""
    file = finished.folder / "more.yaml"
    file.write_text("images: {train: 1600}")
    done = finished.run("--cores", "1", *SMOKE, "--configfile", str(file), check=False)
    file.unlink()
    assert done.returncode != 0
    message = "images.train (in the command line, a profile or --configfile) asks for 1600 images"
    assert message in done.stdout + done.stderr
    assert (finished.folder / "results/smoke/training/fcp/sgd/seeds_0-3.safetensors").exists()


def test_where_it_is_computed_reruns_nothing(finished: Workflow) -> None:
    here = ["--profile", "slurm", "--executor", "local", "--cores", "2"]
    assert finished.jobs(*here, "--config", "scale=smoke") == []


def test_another_scale_is_copied_and_neither_is_computed_again(
    finished: Workflow, tmp_path: Path
) -> None:
    workflow = finished.copy(tmp_path / "clone")
    smoke = (workflow.folder / "config/smoke.yaml").read_text()
    (workflow.folder / "config/other.yaml").write_text(
        smoke.replace("scale: smoke", "scale: other")
    )
    shutil.copytree(workflow.folder / "results/smoke", workflow.folder / "results/other")
    other = workflow.folder / "results/other/tables/table1.md"
    other.write_text("the other scale")

    workflow.run("--cores", "1", "results/table1.md", "--config", "scale=other")
    published = workflow.folder / "results/table1.md"
    assert published.read_text() == "the other scale"

    assert workflow.rules(*SMOKE) == {"publish_table"}
    workflow.run("--cores", "1", "results/table1.md", *SMOKE)
    assert "smoke" in published.read_text()


CONDA = """\
#!/bin/sh
case "$1" in
  info) echo '{"conda_prefix": "/opt/conda", "platform": "linux-64"}' ;;
  config) echo '{"get": {"channel_priority": "strict"}}' ;;
  --version) echo conda 25.3.0 ;;
esac
"""


def test_the_environments_of_conda_rerun_nothing(
    finished: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Answers what a dry run asks of conda; without --sdm conda nothing is asked.
    conda = tmp_path / "conda"
    conda.write_text(CONDA)
    conda.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    with finished.edited("envs/torch.yaml", "torch ==", "torch >="):
        assert finished.jobs("--sdm", "conda", *SMOKE) == []
