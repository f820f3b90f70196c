"""The whole pipeline, run once at scale smoke."""

from pathlib import Path

import pandas as pd
import pytest

from support.clones import SMOKE, Workflow

FIGURES = [
    *(f"fig{number}" for number in range(1, 7)),
    *(f"figS{number}" for number in range(1, 5)),
]
TABLES = ["table1", "tableS1"]


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_there_with_its_numbers(finished: Workflow, figure: str) -> None:
    results = finished.folder / "results"
    assert (results / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert (results / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(results / f"{figure}.csv")) > 0


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_all_architectures(finished: Workflow, table: str) -> None:
    results = finished.folder / "results"
    numbers = pd.read_csv(results / f"{table}.csv")
    assert set(numbers["architecture"]) == {"fcp", "lenet", "autoencoder", "lstm"}
    assert "|" in (results / f"{table}.md").read_text()


def test_selection_and_pairs_have_the_sizes_asked_for(finished: Workflow) -> None:
    work = finished.folder / "results/smoke"
    selection = pd.read_csv(work / "selection/fcp/sgd.csv")
    assert (len(selection), selection["kept"].sum()) == (4, 3)
    for architecture in ("fcp", "lenet", "autoencoder", "lstm"):
        barriers = pd.read_csv(work / f"barriers/train/{architecture}/sgd_test.csv")
        assert len(barriers) == 3
        assert barriers["height"].notna().all()


@pytest.mark.parametrize("checkpoint", ["train", "test"])
@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
def test_paths_end_at_the_losses_of_the_networks_they_join(
    finished: Workflow, optimizer: str, checkpoint: str
) -> None:
    """On the landscape whose minimum a checkpoint is."""
    work, of_set = finished.folder / "results/smoke", f"fcp/{optimizer}_{checkpoint}.csv"
    barriers = work / f"barriers/{checkpoint}" / of_set
    table = pd.read_csv(barriers)
    losses = pd.read_csv(work / f"selection/fcp/{optimizer}.csv").set_index("seed")
    for end, seeds in (("start_loss", table["seed_i"]), ("end_loss", table["seed_j"])):
        expected = losses.loc[seeds, f"{checkpoint}_loss"].to_numpy()
        assert table[end].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_only_results_are_written(finished: Workflow, fresh: Workflow) -> None:
    def outside(folder: Path) -> set[Path]:
        names = {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
        return {
            name
            for name in names
            if name.parts[0] not in ("results", ".snakemake") and "__pycache__" not in name.parts
        }

    assert outside(finished.folder) == outside(fresh.folder)


def test_every_job_left_a_log_and_costly_ones_a_benchmark(finished: Workflow) -> None:
    work = finished.folder / "results/smoke"
    assert len(list(work.glob("logs/train_networks/*/*/*.log"))) == 8
    assert len(list(work.glob("logs/find_paths/*/*/*/*.log"))) == 24
    for log in work.glob("logs/train_networks/*/*/*.log"):
        assert "epochs" in log.read_text()
    assert len(list(work.glob("benchmarks/train_networks/*/*/*.tsv"))) == 8
    assert len(list(work.glob("benchmarks/find_paths/*/*/*/*.tsv"))) == 24


def test_no_checkpoint_is_left(finished: Workflow) -> None:
    left = (finished.folder / "results/smoke/checkpoints").rglob("*")
    assert not [path for path in left if path.is_file()]


def test_the_report_shows_every_figure_and_table(finished: Workflow, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    finished.run("--report", str(report), *SMOKE)
    text = report.read_text()
    for name in (*FIGURES, *TABLES):
        assert f"smoke/figures/{name}.png" in text or f"smoke/tables/{name}.csv" in text, name
    assert "Scale smoke" in text
