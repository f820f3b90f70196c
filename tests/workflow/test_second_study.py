"""The second study is a target of its own, and its stages know what they depend on."""

import pytest

from support.clones import SMOKE, Workflow

STUDIES, FIGURES = 11, 17


def test_the_target_records_every_study_and_trains_nothing_else(fresh: Workflow) -> None:
    jobs = fresh.jobs("geometry", *SMOKE)
    rules = [job.rule for job in jobs]
    assert rules.count("record_geometry") == STUDIES
    assert set(rules) == {
        "prepare_dataset",
        "record_geometry",
        "plot_geometry",
        "judge_geometry",
        "publish_geometry",
        "publish_geometry_claims",
    }
    assert rules.count("publish_geometry") == FIGURES
    datasets = {job.wildcards["dataset"] for job in jobs if job.rule == "prepare_dataset"}
    assert datasets == {"digits", "descriptions"}


def test_one_figure_records_its_studies_only(fresh: Workflow) -> None:
    jobs = fresh.jobs("results/geometry/fig5.pdf", *SMOKE)
    assert [job.wildcards["study"] for job in jobs if job.rule == "record_geometry"] == [
        "functions"
    ]
    probed = fresh.jobs("results/geometry/probes.pdf", *SMOKE)
    studies = {job.wildcards["study"] for job in probed if job.rule == "record_geometry"}
    assert studies == {"controls", "batch_size"}


@pytest.mark.parametrize(
    ("change", "studies"),
    [
        ("geometry: {studies: {main: {lbfgs: {seeds: 3}}}}", {"main"}),
        ("geometry: {optimizers: {adam: {epochs: 2}}}", {"optimizer", "text"}),
    ],
)
def test_a_study_is_recorded_with_its_settings(
    clone: Workflow, change: str, studies: set[str]
) -> None:
    """The runs that a setting reaches differ in their command, all others do not."""
    (clone.folder / "mine.yaml").write_text(change)

    def commands(*arguments: str) -> dict[str, str]:
        listing = clone.run("-n", "-p", "geometry", *arguments).stdout
        lines = [line for line in listing.splitlines() if "record_geometry.py" in line]
        return {line.split("--records ")[1].split(".")[0].split("/")[-1]: line for line in lines}

    before = commands(*SMOKE)
    after = commands(*SMOKE, "--configfile", "mine.yaml")
    assert len(before) == STUDIES
    assert {study for study in before if before[study] != after[study]} == studies


def test_a_function_is_recorded_from_end_to_end(clone: Workflow) -> None:
    few = clone.folder / "few.yaml"
    few.write_text(
        "geometry: {studies: {functions: {asymmetric_linear: {seeds: 1},"
        " sinusoidal_mixture: {seeds: 1, optimizer_settings: {epochs: 2}},"
        " small_steps: {seeds: 1, optimizer_settings: {epochs: 2}}}}}"
    )
    target = "results/smoke/geometry/records/functions.csv"
    clone.run("--cores", "1", target, *SMOKE, "--configfile", str(few))
    assert "small_steps" in (clone.folder / target).read_text()
    log = clone.folder / "results/smoke/logs/record_geometry/functions.log"
    assert "sinusoidal_mixture: 1 seeds, 200 steps" in log.read_text()
    for file, matters in (
        ("functions", True),
        ("optimizers/sgd", True),
        ("optimizers/adam", False),
    ):
        with clone.edited(f"scripts/topography/{file}.py", "", "\nUNUSED = 1\n"):
            jobs = clone.jobs(target, *SMOKE, "--configfile", str(few))
        assert (len(jobs) > 0) == matters, file


def test_a_typing_error_in_a_run_is_refused(clone: Workflow) -> None:
    (clone.folder / "mine.yaml").write_text(
        "geometry: {studies: {optimizer: {adam: {lable_noise: 0.1}}}}"
    )
    done = clone.run("-n", "geometry", "--configfile", "mine.yaml", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "geometry.studies.optimizer.adam.lable_noise" in said
    assert "Did you mean label_noise?" in said
