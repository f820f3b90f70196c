"""What a published set says of its making, and that it comes whole or not at all."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import publish_reproduction
from support.clones import REPOSITORY
from topography import storage
from topography.jobs import orphans
from topography.report import provenance, reproduction
from topography.report.agreement import CUT, NOT_RUN
from topography.report.provenance import ProvenanceError
from topography.workflow import configuration_checks

CONFIG = configuration_checks.read(REPOSITORY, {"scale": "smoke", "only": ["fcp", "lstm"]})


def benchmark(file: Path, seconds: float, cpu: float, memory: float) -> None:
    """As Snakemake writes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t{memory}\t{cpu}\n")


@pytest.fixture
def times(tmp_path: Path) -> pd.DataFrame:
    jobs = {
        "train_networks/fcp/sgd/seeds_0-1.tsv": (3600, 1800, 10),
        "train_networks/fcp/lbfgs/seeds_0-1.tsv": (1800, 1800, 30),
        "find_paths/train/fcp/sgd_test/pairs_0-2.tsv": (720, 360, 20),
        "converge_paths/fcp/sgd_test.tsv": (360, 180, 20),
    }
    for name, measured in jobs.items():
        benchmark(tmp_path / "benchmarks" / name, *measured)
    benchmark(
        tmp_path / "benchmarks/train_networks/fcp/sgd/seeds_0-0.tsv", 1, 1, 1
    )  # not asked for
    return reproduction.times(tmp_path, [tmp_path / "benchmarks" / name for name in jobs])


def test_times_are_sums_over_the_jobs_of_a_stage_and_a_network(times: pd.DataFrame) -> None:
    rows = times.set_index("stage")
    assert rows.loc["train_networks"].tolist() == ["fcp", 2, 1.5, 1.0, 30]
    assert rows.loc["find_paths"].tolist() == ["fcp", 1, 0.2, 0.1, 20]
    assert rows.loc["converge_paths"].tolist() == ["fcp", 1, 0.1, 0.05, 20]
    assert len(rows) == 3


def test_times_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="no times"):
        reproduction.times(tmp_path, [])


def test_the_published_configuration_makes_the_same_configuration(tmp_path: Path) -> None:
    config = {**CONFIG, "data_source": "/somewhere/of/mine", "device": "cuda"}
    text = reproduction.published_configuration(config)
    assert "/somewhere" not in text
    again = configuration_checks.read(REPOSITORY, yaml.safe_load(text))
    assert again == {**CONFIG, "data_source": again["data_source"], "device": again["device"]}


def test_the_environment_names_python_and_what_computes() -> None:
    versions = reproduction.environment().set_index("package")["version"]
    assert versions["python"].startswith("3.")
    assert {"torch", "numpy", "scikit-learn", "snakemake"} <= set(versions.index)
    assert versions.index.is_unique


def test_the_page_tells_what_came_out_what_is_missing_and_how_to_make_it_again(
    times: pd.DataFrame,
) -> None:
    agreement = pd.DataFrame(
        {
            "network": ["FCP", "FCP", "LSTM"],
            "settings": ["the paper's", CUT, NOT_RUN],
            "verdict": ["agrees", "differs", "not comparable at this scale"],
            "fitted": False,
        }
    )
    run = {"scale": "reduced", "dataset": "mnist", "commit": "0123abc, modified"}
    run |= {"seeds": "fcp 0-11", "device": "cpu", "date": "2026-01-02T03:04:05+00:00"}
    page = reproduction.readme(run, agreement, times, Path("docs/reproduction"), networks=True)
    assert "agrees: 1; differs: 1; inconclusive: 0; not comparable" in page
    assert "Not run, and not counted here: LSTM." in page
    assert "$ git checkout 0123abc\n" in page
    without_git = reproduction.readme(
        run | {"commit": provenance.UNKNOWN},
        agreement,
        times,
        Path("docs/reproduction"),
        networks=False,
    )
    assert "git checkout" not in without_git
    assert "cp -r docs/reproduction/trainings/. results/reduced/\n" in page
    assert "trainings" not in without_git
    assert "cp -r docs/reproduction/searches/. results/reduced/\n" in page
    assert "| train_networks | FCP | 2 | 1.50 | 1.00 | 30 |" in page
    assert "| all | | 4 | 1.80 | 1.15 | |" in page


def write(file: Path, size: int = 1) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    return file


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_trainings_come_with_curves_logs_and_times(tmp_path: Path) -> None:
    results, folder = tmp_path / "results/reduced", tmp_path / "set"
    for name in ("safetensors", "history.csv", "history.csv.sha256", "runs.csv"):
        write(results / f"training/fcp/sgd/seeds_0-2.{name}")
    write(results / "logs/train_networks/fcp/sgd/seeds_0-2.log")
    write(results / "benchmarks/train_networks/fcp/sgd/seeds_0-2.tsv")
    write(results / "training/fcp/sgd/seeds_0-24.safetensors")  # of another cut of the seeds
    write(results / "sets/fcp/sgd_train.safetensors")
    files = reproduction.trainings(results, [results / "training/fcp/sgd/seeds_0-2.history.csv"])
    reproduction.copy_computed(results, files, folder)
    assert names(folder) == {
        "training/fcp/sgd/seeds_0-2.safetensors",
        "training/fcp/sgd/seeds_0-2.history.csv",
        "training/fcp/sgd/seeds_0-2.history.csv.sha256",
        "training/fcp/sgd/seeds_0-2.runs.csv",
        "logs/train_networks/fcp/sgd/seeds_0-2.log",
        "benchmarks/train_networks/fcp/sgd/seeds_0-2.tsv",
    }


def test_searches_come_with_times_for_each_set(tmp_path: Path) -> None:
    results, folder = tmp_path / "results/reduced", tmp_path / "set"
    tables = [
        write(results / "barriers/train/fcp/sgd_train.csv"),
        write(results / "converged/fcp/sgd_train.csv"),
    ]
    write(results / "barriers/train/fcp/sgd_train.csv.sha256")
    write(results / "barriers/train/fcp/sgd_test.csv")  # not asked for
    benchmarks = [
        write(results / "benchmarks/find_paths/train/fcp/sgd_train/pairs_0-6.tsv"),
        write(results / "benchmarks/converge_paths/fcp/sgd_train.tsv"),
        write(results / "benchmarks/train_networks/fcp/sgd/seeds_0-2.tsv"),
    ]
    write(results / "benchmarks/find_paths/train/fcp/sgd_train/pairs_0-27.tsv")  # another cut
    write(results / "paths/train/fcp/sgd_train/pairs_0-6.safetensors")
    files = reproduction.searches(results, tables, benchmarks)
    reproduction.copy_computed(results, files, folder)
    assert names(folder) == {
        "barriers/train/fcp/sgd_train.csv",
        "barriers/train/fcp/sgd_train.csv.sha256",
        "converged/fcp/sgd_train.csv",
        "benchmarks/find_paths/train/fcp/sgd_train/pairs_0-6.tsv",
        "benchmarks/converge_paths/fcp/sgd_train.tsv",
    }


def test_trainings_too_large_for_a_repository_stay_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduction, "LARGEST_TRAININGS", 10)
    weights = [write(tmp_path / "seeds_0-2.safetensors", 5), write(tmp_path / "log", 5)]
    assert reproduction.can_be_published(weights)
    assert not reproduction.can_be_published([*weights, write(tmp_path / "one more", 1)])
    assert not reproduction.can_be_published([])


def test_a_path_of_the_machine_is_found_wherever_it_stands(tmp_path: Path) -> None:
    weights = {"fcp": {"sgd": {"train": "/mine/a.npy", "test": "ours/b.npy"}}}
    config = {**CONFIG, "data_source": "/data/mnist", "weights": weights}
    paths = reproduction.local_paths(config)
    assert set(paths) == {str(Path.cwd()), "/data/mnist", "/mine/a.npy"}
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/page.bin").write_bytes(b"\0from ours/b.npy\xff")
    reproduction.refuse_paths(tmp_path, paths)
    (tmp_path / "inner/page.bin").write_bytes(b"results/data/mnist and /data/mnist2")
    reproduction.refuse_paths(tmp_path, paths)
    (tmp_path / "inner/page.bin").write_bytes(b"\0from /mine/a.npy\xff")
    with pytest.raises(ProvenanceError, match=r"inner/page\.bin names the path /mine/a\.npy"):
        reproduction.refuse_paths(tmp_path, paths)


def publish(folder: Path, patch: pytest.MonkeyPatch, seen_in_a_table: str = "") -> str:
    """Publish a set of one figure of each device; returns its page."""
    results = folder / "results"
    for day, device in ((2, "cuda"), (3, "cpu"), (1, "cuda")):
        origin = {"device": device, "date": f"2026-01-0{day}T00:00:00+00:00"}
        provenance.write_json(folder / f"fig{day}.json", origin)
    (folder / "table1.md").write_text(f"made from {seen_in_a_table}")
    verdicts = pd.DataFrame(
        [{"settings": "", "network": "fcp", "verdict": "agrees", "fitted": False}]
    )
    storage.write_table(folder / "agreement.csv", verdicts)
    benchmark(results / "benchmarks/find_paths/train/fcp/sgd_test/pairs_0-2.tsv", 72, 36, 20)
    run = {"commit": "0123abc", "scale": "mine", "dataset": "mnist", "seeds": "fcp sgd 0-1"}
    provenance.write_json(results / "provenance.json", run)
    searches = results / "barriers/train/fcp/sgd_test.csv"
    storage.write_table(searches, pd.DataFrame({"height": [1.0]}))
    given = {
        "figures": [folder / f"fig{day}.json" for day in (1, 2, 3)],
        "tables": [folder / "table1.md"],
        "agreement": [folder / "agreement.csv"],
        "searches": [searches],
        "benchmarks": [*(results / "benchmarks").rglob("*.tsv"), results / "missing.tsv"],
        "histories": [],
        "settings": [json.dumps({**CONFIG, "data_source": "/mine/mnist"})],
        "run": [results / "provenance.json"],
        "target": [folder / "published"],
    }
    words = [word for name, values in given.items() for word in (f"--{name}", *map(str, values))]
    patch.setattr(sys, "argv", ["publish_reproduction.py", *words])
    publish_reproduction.main()
    return (folder / "published/README.md").read_text()


def test_a_set_is_of_the_device_and_the_day_of_its_newest_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = publish(tmp_path, monkeypatch)
    assert "figures up to 2026-01-03" in page
    assert "trained on cpu" in page


def test_a_set_with_a_path_of_this_machine_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProvenanceError, match=r"tables/table1\.md names the path /mine/mnist"):
        publish(tmp_path, monkeypatch, seen_in_a_table="/mine/mnist")
    assert not (tmp_path / "published").exists()


def test_a_set_of_another_scale_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "published"
    publish(tmp_path, monkeypatch)
    with (
        pytest.raises(ProvenanceError, match=r"of scale smoke, which .* paper would"),
        reproduction.replaced(target, "paper"),
    ):
        pytest.fail("began to replace it")
    publish(tmp_path, monkeypatch)  # of its own scale it is


def test_a_set_replaces_a_set_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "docs/reproduction"
    for name in ("old.txt", "new.txt"):
        with reproduction.replaced(target, "smoke") as folder:
            (folder / name).write_text(name)
            storage.write_table(folder / provenance.MANIFEST, provenance.manifest(folder))
    assert not (target / "old.txt").exists()
    assert list(provenance.problems(target)) == []
    with pytest.raises(ZeroDivisionError), reproduction.replaced(target, "smoke") as folder:
        (folder / "half.txt").write_text("half")
        raise ZeroDivisionError
    assert (target / "new.txt").exists() and not (target / "half.txt").exists()
    assert list(target.parent.iterdir()) == [target]


def test_an_orphan_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "set"
    with reproduction.replaced(target, "smoke") as folder:
        (folder / provenance.MANIFEST).write_text("former")
    monkeypatch.setattr(orphans, "_snakemake", -1)
    with pytest.raises(orphans.OrphanedError), reproduction.replaced(target, "smoke") as folder:
        (folder / provenance.MANIFEST).write_text("new")
    assert (target / provenance.MANIFEST).read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]


def test_a_set_that_cannot_be_put_in_place_leaves_the_former_there(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with reproduction.replaced(target, "smoke") as folder:
        (folder / provenance.MANIFEST).write_text("former")
    with pytest.raises(storage.StorageError), reproduction.replaced(target, "smoke") as folder:
        folder.rmdir()  # so that there is nothing to rename
    assert (target / provenance.MANIFEST).read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_published_set_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with (
        pytest.raises(ProvenanceError, match="no published set"),
        reproduction.replaced(tmp_path, "smoke"),
    ):
        pass
    assert (tmp_path / "mine.txt").exists()
