"""Published figures say where they come from, and the results of a scale can be verified."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from support.clones import SMOKE, Workflow, copy_repository
from topography.report import provenance
from topography.storage import write_table
from topography.workflow import configuration, configuration_checks

MANIFEST = "results/smoke/manifest.csv"


def test_every_published_figure_says_where_it_comes_from(finished: Workflow) -> None:
    descriptions = sorted((finished.folder / "results").glob("fig*.json"))
    assert len(descriptions) == 10
    for file in descriptions:
        description = json.loads(file.read_text())
        assert (description["scale"], description["dataset"]) == ("smoke", "digits")
        assert description["device"] in ("cpu", "cuda")
        assert "lstm sgd 0-3, lstm lbfgs 1000-1003" in description["seeds"]
        fields = {name: description[key] for name, key in provenance.FIELDS.items()}
        assert provenance.png_fields(file.with_suffix(".png").read_bytes()) == fields
        assert provenance.pdf_fields(file.with_suffix(".pdf").read_bytes()) == fields


def test_figures_of_a_scale_carry_nothing_that_changes_from_run_to_run(finished: Workflow) -> None:
    for file in (finished.folder / "results/smoke/figures").glob("*.png"):
        assert provenance.png_fields(file.read_bytes()) == {}


def test_another_commit_reruns_nothing(finished: Workflow) -> None:
    file = finished.folder / "results/smoke/provenance.json"
    before = file.read_text()
    provenance.write_json(file, {**json.loads(before), "commit": "another"})
    assert finished.jobs(*SMOKE) == []
    file.write_text(before)


@pytest.mark.slow
def test_the_results_of_a_scale_can_be_verified(reported: Workflow) -> None:
    reported.run(MANIFEST, "--cores", "1", *SMOKE)
    assert reported.jobs(MANIFEST, *SMOKE) == []
    done = subprocess.run(
        [sys.executable, "scripts/verify.py", "results/smoke"],
        cwd=reported.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = pd.read_csv(reported.folder / MANIFEST)["path"]
    assert f"{len(listed)} files are what the manifest says" in done.stdout
    for path in (
        "sets/lstm/sgd_test.safetensors",
        "figures/fig4.pdf",
        "barriers/test/fcp/sgd_test.csv",
    ):
        assert path in set(listed)

    # What is made on request is listed when it is there.
    later = reported.folder / "results/smoke/geometry/later.csv"
    write_table(later, pd.DataFrame({"a": [1]}))
    assert {job.rule for job in reported.jobs(MANIFEST, *SMOKE)} == {"write_manifest"}
    shutil.rmtree(later.parent)
    assert reported.jobs(MANIFEST, *SMOKE) == []


def go_on_from(folder: Path, workflow: Workflow) -> None:
    """As cp -r does it: into a folder that is there, and as new files, younger than what is."""
    target = workflow.folder / "results/smoke"
    shutil.copytree(folder, target, copy_function=shutil.copyfile, dirs_exist_ok=True)


@pytest.mark.slow
def test_a_reproduction_is_published_and_verified(reported: Workflow, tmp_path: Path) -> None:
    workflow = reported.copy(tmp_path / "clone")
    shutil.rmtree(workflow.folder / "docs/reproduction", ignore_errors=True)  # of another scale
    workflow.run("reproduction", "--cores", "1", *SMOKE)
    published = workflow.folder / "docs/reproduction"
    names = {file.relative_to(published).as_posix() for file in published.rglob("*")}
    assert {"README.md", "agreement.html", "figures/fig4.json", "tables/table1.md"} <= names
    assert "figures/fig4_converged.pdf" in names
    again = configuration.load(published / "configuration.yaml")
    assert configuration_checks.read(workflow.folder, again) == configuration_checks.read(
        workflow.folder, {"scale": "smoke"}
    )
    times = pd.read_csv(published / "times.csv").groupby("stage")["jobs"].sum()
    assert times.to_dict() == {"converge_paths": 16, "find_paths": 24, "train_networks": 8}

    # What it holds spares another clone the trainings, and then the searches.
    other = copy_repository(tmp_path / "other")
    other.run("data", "--cores", "1", *SMOKE)
    assert "train_networks" in other.rules("tables", *SMOKE)
    go_on_from(published / "trainings", other)
    assert other.rules("tables", "figures", *SMOKE).isdisjoint({"train_networks"})
    other.run("reproduction", "--until", "sample_pairs", "--cores", "1", *SMOKE)
    assert other.rules("reproduction", *SMOKE) >= {"find_paths", "converge_paths"}
    go_on_from(published / "searches", other)
    rules = other.rules("reproduction", *SMOKE)
    assert rules.isdisjoint({"train_networks", "find_paths", "converge_paths"})
    shutil.rmtree(other.folder / "results/smoke/converged/lstm")
    assert "find_paths" not in other.rules("reproduction", *SMOKE)  # what is lacking, and no more
    go_on_from(published / "searches", other)
    assert {"plot_barriers", "judge_agreement"} <= rules
    published_again = ("results/table1.csv", "results/fig4.csv")
    other.run(*published_again, "--cores", "1", *SMOKE)
    for file in published_again:
        assert (other.folder / file).read_bytes() == (reported.folder / file).read_bytes()

    def verify() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "scripts/verify.py", "docs/reproduction"]
        return subprocess.run(
            command, cwd=workflow.folder, capture_output=True, text=True, check=False
        )

    assert verify().returncode == 0
    (published / "agreement.md").write_text("all agrees")
    assert "agreement.md: has changed" in verify().stdout
