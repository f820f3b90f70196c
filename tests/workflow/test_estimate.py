"""The estimate and the doctor, as commands and as a target."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import estimate
from support.clones import SMOKE, Workflow
from topography.errors import TopographyError
from topography.workflow import configuration, configuration_checks, cost

COLUMNS = ["rule", "architecture", "part", "jobs", "minutes_per_job", "core_hours"]
SIZES = ["MB_per_job", "MB_on_disk"]
RULES = (cost.TRAIN, cost.PATHS, cost.CONVERGED)


def command(workflow: Workflow, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"scripts/{script}.py", *arguments],
        cwd=workflow.folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # as if there were no GPU
        capture_output=True,
        text=True,
        check=False,
    )


def table(text: str) -> pd.DataFrame:
    """The rows between the title and the totals."""
    rows = [line.split() for line in text.splitlines()]
    first = next(number for number, row in enumerate(rows) if row[:1] == ["rule"])
    width = len(rows[first])
    body = [row for row in rows[first + 1 :] if row[0] in RULES]
    assert all(len(row) == width for row in body)
    return pd.DataFrame(body, columns=rows[first])


def test_the_target_gets_the_configuration_that_the_command_puts_together(
    fresh: Workflow, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training: {seeds: 5}\narchitectures: {lenet: {override: {pairs: {count: 2}}}}")
    dry_run = fresh.run("-n", "estimate", *SMOKE, "--configfile", str(file)).stdout
    line = re.search(r"python scripts/estimate.py .*", dry_run)[0]
    words = shlex.split(line)
    given = json.loads(words[words.index("--settings") + 1])
    changes = configuration.merge(configuration.load(file), {"scale": "smoke"})
    assert given == configuration_checks.read(fresh.folder, changes)
    assert given["training"]["seeds"] == 5


def test_the_estimate_of_a_scale(fresh: Workflow) -> None:
    done = command(fresh, "estimate", "--scale", "smoke", "--probe-seconds", "0")
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert list(rows) == [*COLUMNS, *SIZES]
    assert len(rows) == 4 * (2 + 2 + 1)  # architectures; optimizers, landscapes, converged paths
    jobs = rows["jobs"].astype(int).groupby(rows["rule"]).sum()
    assert jobs.tolist() == [16, 24, 8]  # as the dry run has it
    assert (rows["core_hours"].astype(float) > 0).all()
    assert "Altogether 32 jobs" in done.stdout
    assert "on request only: at most 16 jobs" in done.stdout
    assert "Not counted" in done.stdout


def smoke_stages(workflow: Workflow) -> list[cost.Stage]:
    return cost.stages(configuration_checks.read(workflow.folder, {"scale": "smoke"}), "cpu")


def test_without_benchmark_files_there_is_nothing_to_compare_with(fresh: Workflow) -> None:
    stages = smoke_stages(fresh)
    with pytest.raises(TopographyError, match="no benchmark files"):
        estimate.comparison(stages, [1.0] * len(stages), 0, fresh.folder / "results")


def test_predictions_stand_beside_the_benchmarks_of_a_run(finished: Workflow) -> None:
    stages = smoke_stages(finished)
    made = [stage for stage in stages if stage.rule not in cost.ON_REQUEST]
    benchmarks = finished.folder / "results/smoke/benchmarks"
    rows = estimate.comparison(stages, [8.0] * len(stages), 0, benchmarks)
    rows = rows[~rows["rule"].isin(cost.ON_REQUEST)]
    assert list(rows["jobs"]) == [f"{len(stage.jobs)} of {len(stage.jobs)}" for stage in made]
    assert (rows["predicted_s"] == 8.0).all()
    first = pd.read_csv(benchmarks / "train_networks/fcp/sgd/seeds_0-3.tsv", sep="\t")
    assert rows.loc[0, "measured_s"] == pytest.approx(first["s"][0], abs=0.1)


def test_converged_paths_are_compared_too(tmp_path: Path) -> None:
    jobs = tuple(f"fcp/{name}" for name in ("sgd_train", "sgd_test", "lbfgs_train", "lbfgs_test"))
    stage = cost.Stage(cost.CONVERGED, "fcp", "train", jobs, {}, 0, 0, 0)
    file = tmp_path / "converge_paths/fcp/sgd_test.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\tmax_rss\tcpu_time\n10\t100.0\t9.0\n")
    (row,) = estimate.comparison([stage], [30.0], 0, tmp_path).to_dict("records")
    assert (row["jobs"], row["predicted_s"], row["measured_s"]) == ("1 of 4", 7.5, 10.0)


def test_what_a_run_has_done_is_compared_with_that_part_of_the_prediction(tmp_path: Path) -> None:
    jobs = tuple(f"train/fcp/{name}/pairs_{pairs}" for name in "ab" for pairs in ("0-5", "6-9"))
    stage = cost.Stage(cost.PATHS, "fcp", "train", jobs, {}, 0, 0, 0)
    done = {jobs[0]: 10.0, jobs[2]: 20.0}
    of_other_settings = {"train/fcp/a/pairs_0-2": 40.0, "train/fcp/c/pairs_0-5": 80.0}
    for job, seconds in (done | of_other_settings).items():
        file = tmp_path / f"find_paths/{job}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t100.0\t9.0\n")
    (row,) = estimate.comparison([stage], [30.0], 0, tmp_path).to_dict("records")
    assert (row["jobs"], row["predicted_s"], row["measured_s"]) == ("2 of 4", 15.0, 30.0)
    assert (row["measured_cpu_s"], row["ratio"]) == (18.0, 0.5)


def test_the_disk_a_run_takes(finished: Workflow) -> None:
    folder = finished.folder / "results/smoke"
    stages = smoke_stages(finished)
    folders = {cost.TRAIN: ["training", "sets"], cost.PATHS: ["paths"]}
    for rule, places in folders.items():
        files = [file for place in places for file in (folder / place).rglob("*.*")]
        predicted = sum(stage.results for stage in stages if stage.rule == rule)
        assert predicted == pytest.approx(sum(file.stat().st_size for file in files), rel=0.05)


def test_the_doctor_of_a_sound_clone(fresh: Workflow) -> None:
    done = command(fresh, "doctor", "--config", "scale=smoke")
    *lines, count = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    subjects = [line[9:23].strip() for line in lines]
    for subject in ("python", "torch", "profile", "lock", "configuration", "device", "data"):
        assert subject in subjects
    assert {"disk", "memory"} <= set(subjects)
    assert count.startswith("0 errors")
    assert "scale smoke, digits" in done.stdout


def test_the_doctor_reads_the_profile_as_snakemake_does(
    fresh: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("which", "sh", "bash"):  # what Snakemake needs; no Slurm, whatever is installed
        (tmp_path / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    replaced = ["--config", "scale=smoke", "device=cpu"]
    done = command(fresh, "doctor", "--profile", "slurm", *replaced)
    assert done.returncode == 1
    assert "profiles/slurm/config.yaml" in done.stdout
    assert "scale smoke, digits, cpu" in done.stdout
    assert "the profile asks for" in done.stdout
    errors = [line for line in done.stdout.splitlines() if line.startswith("error")]
    assert [line.split()[1] for line in errors] == ["slurm"]


def test_the_doctor_looks_for_the_partitions_of_all_rules(
    clone: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a profile edited as it says, with a name mistyped for one rule, and one without quotes."""
    profile = clone.folder / "profiles/slurm/config.yaml"
    text = profile.read_text().replace("# slurm_partition", "slurm_partition")
    text = text.replace(
        """runtime: 60
    mem_mb: 16000
    slurm_partition: "'gpu'\"""",
        """runtime: 60
    mem_mb: attempt * 16000
    slurm_partition: gppu""",
    )
    profile.write_text(text)
    for name in ("sbatch", "squeue", "scancel", "sacct", "sinfo"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'cpu (null)'\necho 'gpu gpu:1'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    done = command(clone, "doctor", "--profile", "slurm", "--config", "scale=smoke", "device=cpu")
    errors = [line for line in done.stdout.splitlines() if line.startswith("error")]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "names partition gppu, which does not exist. Use one of cpu, gpu" in errors[0]


def test_the_doctor_outside_the_repository(fresh: Workflow, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, fresh.folder / "scripts/doctor.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "has no Snakefile" in done.stderr
