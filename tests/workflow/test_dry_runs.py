"""The commands of the README resolve in a fresh clone."""

import json
from pathlib import Path

import pytest

from support.clones import SMOKE, Workflow

FIGURES = [
    *(f"fig{number}" for number in range(1, 7)),
    *(f"figS{number}" for number in range(1, 5)),
]
TABLES = ["table1", "tableS1"]


@pytest.mark.parametrize(
    ("arguments", "trainings", "path_jobs", "total"),
    [
        pytest.param([*SMOKE, "--cores", "2"], 8, 24, 119, id="smoke"),
        pytest.param(["--profile", "slurm"], 24, 144, 255, id="slurm"),  # as config/paper.yaml says
    ],
)
def test_every_figure_and_table_is_the_default(
    fresh: Workflow, arguments: list[str], trainings: int, path_jobs: int, total: int
) -> None:
    jobs = [job.rule for job in fresh.jobs(*arguments)]
    assert jobs.count("train_networks") == trainings
    assert jobs.count("find_paths") == path_jobs
    assert jobs.count("publish_figure") == len(FIGURES)
    assert jobs.count("publish_table") == len(TABLES)
    assert len(jobs) + 1 == total  # and the target itself


@pytest.mark.parametrize("profile", ["profiles/gpu", "slurm"])
@pytest.mark.parametrize("more", [[], ["--config", "data_source=/data/mnist"]])
def test_a_profile_runs_the_paper_on_gpus_whatever_else_is_set(
    fresh: Workflow, profile: str, more: list[str]
) -> None:
    done = fresh.run("-n", "results/table1.csv", "--profile", profile, *more)
    assert "scale     paper" in done.stderr
    assert "gpu=1, device=cuda" in done.stdout


def test_no_two_jobs_keep_their_state_in_the_same_place(fresh: Workflow) -> None:
    """A job takes the state of another for one it cannot use, and overwrites it."""
    targets = ["all", "results/fig4_converged.pdf"]
    listing = fresh.run("-n", "-p", *targets, "--config", "scale=paper").stdout
    commands = [line for line in listing.splitlines() if "--checkpoint " in line]
    kept = {line.split("--checkpoint ")[1].split()[0] for line in commands}
    assert len(kept) == len(commands) > 24 + 144


ALONE = """
import pathlib, sys, time
taken = pathlib.Path("taken")
taken.mkdir()  # an error if another job has it
time.sleep(3)
taken.rmdir()
for name in ("--weights", "--history", "--runs"):
    pathlib.Path(sys.argv[sys.argv.index(name) + 1]).touch()
"""


def test_one_job_at_a_time_has_the_gpu(clone: Workflow) -> None:
    """Of two trainings that could run side by side on the cores there are."""
    (clone.folder / "scripts/train.py").write_text(ALONE)
    trained = [
        f"results/smoke/training/fcp/{job}.runs.csv"
        for job in ("sgd/seeds_0-3", "lbfgs/seeds_1000-1003")
    ]
    clone.run("--cores", "2", *SMOKE, "device=cuda", "--", *trained)


def test_one_figure_asks_for_what_it_needs_only(fresh: Workflow) -> None:
    jobs = fresh.jobs("--cores", "8", "results/fig4.pdf")
    assert {job.wildcards.get("landscape", "train") for job in jobs} == {"train"}
    assert {job.wildcards["figure"] for job in jobs if "figure" in job.wildcards} == {"fig4"}
    assert not {job.rule for job in jobs} & {"project_solutions", "find_paths_2d", "publish_table"}


def test_paths_are_searched_on_only_when_asked_for(fresh: Workflow) -> None:
    assert "converge_paths" not in fresh.rules("all", *SMOKE)
    jobs = [job.rule for job in fresh.jobs("results/fig4_converged.pdf", *SMOKE)]
    assert jobs.count("converge_paths") == 16  # an architecture and a set each
    assert "find_paths" not in jobs


def test_targets_are_figures_and_tables(fresh: Workflow) -> None:
    assert "publish_table" not in fresh.rules("figures")
    assert "publish_figure" not in fresh.rules("tables")
    assert "find_paths" not in fresh.rules("tables")


def test_the_panel_goes_to_stderr_and_leaves_the_graph_alone(fresh: Workflow) -> None:
    done = fresh.run("--rulegraph", *SMOKE, "device=cpu", "dataset=digits")
    assert done.stdout.startswith("digraph")
    assert "Topography" not in done.stdout
    panel = done.stderr
    assert "smoke: digits" in panel
    assert "32 to train in 8 jobs" in panel
    assert "72 to find in 24 jobs" in panel
    assert "results/smoke/logs" in panel
    # digits is smoke's
    assert "changed   device=cpu (by the command line, a profile or --configfile)" in panel


def test_a_scale_file_changes_the_general_values_and_the_command_line_both(
    clone: Workflow,
) -> None:
    (clone.folder / "mine.yaml").write_text("pairs: {count: 2}\n")
    panel = clone.run("-n", "tables", *SMOKE, "--configfile", "mine.yaml").stderr
    assert "scale     smoke" in panel
    assert "48 to find in 24 jobs" in panel


def test_a_part_of_the_paper_can_be_made_alone(fresh: Workflow) -> None:
    jobs = fresh.jobs("all", "--config", "scale=reduced", "only=[autoencoder, fcp]")
    named = {job.wildcards["architecture"] for job in jobs if "architecture" in job.wildcards}
    assert named == {"fcp", "autoencoder"}
    # Figure 2 shows the LSTM.
    published = {job.wildcards["figure"] for job in jobs if job.rule == "publish_figure"}
    assert published == set(FIGURES) - {"fig2"}


def test_the_command_line_brings_back_the_whole_paper(clone: Workflow) -> None:
    (clone.folder / "mine.yaml").write_text("only: [fcp]\n")
    command = ("-n", "tables", *SMOKE, "only=", "--configfile", "mine.yaml")
    assert "72 to find in 24 jobs" in clone.run(*command).stderr


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        ("fcp", "fig2 (loss curves of lstm, which this run leaves out)"),
        ("lstm", "figS1 (loss curves of the other networks, which this run leaves out)"),
    ],
)
def test_the_panel_says_which_figure_is_left_out(fresh: Workflow, only: str, reason: str) -> None:
    target = f"results/{reason.split()[0]}.pdf"
    done = fresh.run("-n", target, *SMOKE, f"only=[{only}]", check=False)
    assert done.returncode != 0
    assert f"left out  {reason}; any copy in results/ is of an earlier run\n" in done.stderr
    assert "left out" not in fresh.run("-n", "data", *SMOKE).stderr


def test_the_slurm_profile_can_be_tried_without_a_cluster(fresh: Workflow) -> None:
    command = "snakemake --profile slurm --executor local --cores 2 --config scale=smoke device=cpu"
    for page in ("docs/cluster.md", "profiles/slurm/config.yaml"):
        assert f" {command}\n" in (fresh.folder / page).read_text()
    done = fresh.run("-n", "tables", *command.split()[1:])
    assert "scale     smoke" in done.stderr
    assert "gpu=1" not in done.stdout


def test_differences_reuse_the_networks_of_the_default_where_they_can(fresh: Workflow) -> None:
    listing = fresh.run("-n", "results/differences.md", *SMOKE).stdout
    commands = [line for line in listing.splitlines() if line.startswith("Shell command: ")]
    trainings = [line for line in commands if "train.py" in line]
    searches = [line for line in commands if "find_paths.py" in line]
    # The default, and three variants of five, with two optimizers; all six, with two sets.
    assert (len(trainings), len(searches)) == (8, 12)
    assert ["'activation': 'relu'" in line.replace('"', "'") for line in trainings].count(True) == 2
    assert ["--train-images 250 " in line for line in trainings].count(True) == 2
    assert ["'monotone': true" in line.replace('"', "'") for line in trainings].count(True) == 1
    last = [line for line in searches if "'keep': 'last'" in line.replace('"', "'")]
    assert len(last) == 2
    assert all("--set results/smoke/sets/fcp/" in line for line in last)
    assert not any("lenet" in line for line in commands)


def test_a_variant_with_too_many_images_stops_before_its_former_results_are_gone(
    finished: Workflow, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("differences: {base: {images: {train: 1600}}}")
    mine = (*SMOKE, "--configfile", str(file))
    done = finished.run("-n", "results/differences.md", *mine, check=False)
    assert "differences.base.images.train (in " in done.stdout
    assert "asks for 1600 images, and results/data/digits.safetensors has 1500" in done.stdout
    finished.run("-n", "tables", *mine)


def test_a_variant_that_changes_nothing_stops_only_who_asks_for_the_differences(
    fresh: Workflow, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("optimizers: {lbfgs: {monotone: true}}")
    mine = (*SMOKE, "--configfile", str(tmp_path / "mine.yaml"))
    done = fresh.run("-n", "results/differences.md", *mine, check=False)
    assert "differences.variants.monotone are already in force for fcp" in done.stdout
    fresh.run("-n", "tables", *mine)


def test_a_scale_file_given_as_configfile_is_that_scale(fresh: Workflow) -> None:
    panel = fresh.run("-n", "tables", "--configfile", "config/smoke.yaml").stderr
    assert "scale     smoke" in panel
    assert "results/smoke/" in panel


def test_gpus_are_asked_for_only_where_the_device_is_one(fresh: Workflow) -> None:
    target = "results/smoke/training/fcp/sgd/seeds_0-3.history.csv"
    assert "gpu=1" not in fresh.run("-n", target, *SMOKE).stdout
    with_gpu = fresh.run("-n", target, "--config", "scale=smoke", "device=cuda").stdout
    assert "gpu=1" in with_gpu


def test_weights_from_elsewhere_stand_in_for_trainings(fresh: Workflow, tmp_path: Path) -> None:
    (tmp_path / "set.npy").touch()
    files = {"train": f"{tmp_path}/set.npy", "test": f"{tmp_path}/set.npy"}
    weights = {"lenet": {"sgd": files}, "lstm": {"sgd": files, "lbfgs": files}}
    (tmp_path / "mine.yaml").write_text(json.dumps({"weights": weights}))
    arguments = ("all", *SMOKE, "--configfile", str(tmp_path / "mine.yaml"))
    jobs = fresh.jobs(*arguments)
    imported = {("lenet", "sgd"), ("lstm", "sgd"), ("lstm", "lbfgs")}
    for rule, expected in (("import_networks", 3), ("train_networks", 5)):
        chosen = [job.wildcards for job in jobs if job.rule == rule]
        names = {(job["architecture"], job["optimizer"]) for job in chosen}
        assert len(chosen) == len(names) == expected
        assert names <= imported if rule == "import_networks" else not names & imported
    # Figure 2 shows loss curves of the LSTM, which there are none of.
    published = {job.wildcards["figure"] for job in jobs if job.rule == "publish_figure"}
    assert published == set(FIGURES) - {"fig2"}
    dry_run = fresh.run("-n", "-p", *arguments)
    panel = dry_run.stderr
    assert "20 to train in 5 jobs" in panel
    assert "left out  fig2 (loss curves of lstm, whose weights come from elsewhere); " in panel
    # Both tables name what was not trained here.
    assert dry_run.stdout.count("--imported lenet/sgd lstm/sgd lstm/lbfgs --csv") == 2
