"""The best surviving runs form the sets, in the order of their rank."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import select_runs
from support.example_results import write_training
from topography import storage
from topography.analysis import selection
from topography.jobs import command_line


def trained(train_losses: dict[int, float], failed: tuple[int, ...] = ()) -> selection.TrainedRuns:
    """Runs with the given train losses; the weights of a run are its seed."""
    seeds = np.array(list(train_losses))
    lost = np.isin(seeds, failed)
    runs = pd.DataFrame(
        {
            "seed": seeds,
            "status": np.where(lost, "failed", "ok"),
            "reason": np.where(lost, "loss became NaN", ""),
            "train_epoch": 5,
            "train_loss": np.where(lost, np.nan, list(train_losses.values())),
            "test_epoch": 3,
            "test_loss": 0.2,
        }
    )
    weights = np.where(lost, np.nan, seeds)[:, None] * np.ones(4, np.float32)
    return selection.TrainedRuns(
        Path("training/fcp/sgd"), runs, {"train": weights, "test": 100 + weights}
    )


def kept_seeds(runs: selection.TrainedRuns, keep: int) -> list[int]:
    """Seeds of the sets, best first."""
    train_set, _ = selection.kept_sets(runs, selection.rank_runs(runs, keep))
    return train_set["seeds"].tolist()


def test_lowest_train_losses_are_kept_best_first():
    assert kept_seeds(trained({0: 0.3, 1: 0.1, 2: 0.4, 3: 0.2}), keep=3) == [1, 3, 0]


def test_seed_zero_is_a_seed():
    assert kept_seeds(trained({0: 0.1, 1: 0.2}), keep=1) == [0]


def test_equal_losses_are_ordered_by_seed():
    assert kept_seeds(trained({4: 0.1, 7: 0.1, 9: 0.1}), keep=2) == [4, 7]


def test_failed_runs_are_skipped_and_named():
    runs = trained({0: 0.3, 1: 0.1, 2: 0.2}, failed=(1,))
    ranked = selection.rank_runs(runs, keep=2)
    assert kept_seeds(runs, keep=2) == [2, 0]
    assert np.isnan(ranked.loc[1, "rank"])
    assert not ranked.loc[1, "kept"]
    assert selection.failures(runs.runs) == [(1, "loss became NaN")]


def test_rows_of_both_sets_belong_to_their_seeds():
    runs = trained({0: 0.3, 1: 0.1, 2: 0.4, 3: 0.2})
    train_set, test_set = selection.kept_sets(runs, selection.rank_runs(runs, keep=2))
    np.testing.assert_array_equal(train_set["weights"][:, 0], [1, 3])
    np.testing.assert_array_equal(test_set["weights"][:, 0], [101, 103])
    np.testing.assert_array_equal(test_set["seeds"], [1, 3])


def test_too_few_survivors_say_what_where_and_how_to_fix():
    runs = trained({0: 0.3, 1: 0.1, 2: 0.2}, failed=(0, 1))
    with pytest.raises(selection.SelectionError) as caught:
        selection.rank_runs(runs, keep=2)
    for part in ("1 of 3 runs", "training/fcp/sgd", "seed 0: loss became NaN", "selection.keep"):
        assert part in str(caught.value)


def test_too_few_networks_from_elsewhere_name_their_files():
    runs = trained({0: 0.3, 1: 0.1})
    runs.runs["train_epoch"] = selection.UNKNOWN_EPOCH
    with pytest.raises(selection.SelectionError) as caught:
        selection.rank_runs(runs, keep=3)
    for part in ("weights.<architecture>.<optimizer>", "2 networks", "Lower selection.keep"):
        assert part in str(caught.value)
    assert "training.seeds" not in str(caught.value)


def test_runs_that_all_failed_before_their_first_epoch_say_why():
    """They have no best epoch either, as networks trained elsewhere have none."""
    runs = trained({0: 0.3, 1: 0.1}, failed=(0, 1))
    runs.runs["train_epoch"] = selection.UNKNOWN_EPOCH
    with pytest.raises(selection.SelectionError, match="seed 0: loss became NaN"):
        selection.rank_runs(runs, keep=1)


def test_nothing_to_keep_is_an_error():
    with pytest.raises(selection.SelectionError, match="Cannot keep 0 runs"):
        selection.rank_runs(trained({0: 0.3}), keep=0)


def jobs(folder: Path, *groups: range, failed: tuple[int, ...] = ()) -> tuple[list, list]:
    """Weight files and run tables of training jobs of the given seeds."""
    files = [write_training(folder, "fcp", "sgd", group, failed=failed) for group in groups]
    return [job["weights"] for job in files], [job["runs"] for job in files]


def test_grouping_and_order_of_jobs_do_not_matter(tmp_path):
    one = selection.read_trained(*jobs(tmp_path / "one", range(6)))
    three = selection.read_trained(*jobs(tmp_path / "three", range(4, 6), range(2), range(2, 4)))
    pd.testing.assert_frame_equal(one.runs, three.runs)
    np.testing.assert_array_equal(one.weights["train"], three.weights["train"])
    np.testing.assert_array_equal(one.weights["test"], three.weights["test"])


def test_a_seed_given_twice_is_an_error(tmp_path):
    with pytest.raises(selection.SelectionError, match=r"Seeds \[2\] occur in more than one"):
        selection.read_trained(*jobs(tmp_path, range(3), range(2, 4)))


def test_files_of_different_jobs_are_an_error(tmp_path):
    weights, runs = jobs(tmp_path, range(2), range(2, 4))
    with pytest.raises(selection.SelectionError, match="in the same order"):
        selection.read_trained(weights, runs[::-1])
    with pytest.raises(selection.SelectionError, match="2 weight files but 1 run tables"):
        selection.read_trained(weights, runs[:1])


def test_jobs_of_different_architectures_are_an_error(tmp_path):
    small = write_training(tmp_path, "fcp", "sgd", range(2), parameters=4)
    large = write_training(tmp_path, "lstm", "sgd", range(2, 4), parameters=5)
    with pytest.raises(selection.SelectionError, match="not of one architecture"):
        selection.read_trained([small["weights"], large["weights"]], [small["runs"], large["runs"]])


@pytest.mark.parametrize("broken", ["weights", "loss"])
def test_success_without_finite_numbers_is_an_error(tmp_path, broken):
    files = write_training(tmp_path, "fcp", "sgd", range(3))
    if broken == "weights":
        tensors = storage.read_tensors(files["weights"])
        tensors["test_weights"][1, 2] = np.inf
        storage.write_tensors(files["weights"], tensors)
    else:
        storage.write_table(
            files["runs"],
            storage.read_table(files["runs"]).assign(test_loss=[0.1, np.nan, 0.2]),
        )
    with pytest.raises(selection.SelectionError, match=r"Seeds \[1\] .* status ok"):
        selection.read_trained([files["weights"]], [files["runs"]])


def select(monkeypatch, folder: Path, keep: int, failed: tuple[int, ...]) -> None:
    """Run the command on five runs."""
    weights, runs = jobs(folder, range(3), range(3, 5), failed=failed)
    arguments = ["--weights", *weights, "--runs", *runs, "--keep", keep]
    arguments += ["--selection", folder / "sgd.csv"]
    arguments += ["--train-set", folder / "sgd_train.safetensors"]
    arguments += ["--test-set", folder / "sgd_test.safetensors"]
    monkeypatch.setattr("sys.argv", ["select_runs.py", *map(str, arguments)])
    command_line.run(select_runs.main)


def test_command_writes_all_runs_and_says_which_failed(tmp_path, monkeypatch, capsys):
    select(monkeypatch, tmp_path, keep=3, failed=(0,))
    table = storage.read_table(tmp_path / "sgd.csv")
    train_set = storage.read_tensors(tmp_path / "sgd_train.safetensors")
    assert "seed 0 failed in training and is skipped: loss became NaN" in capsys.readouterr().err
    assert table["seed"].tolist() == [0, 1, 2, 3, 4]
    assert table["status"].tolist() == ["failed", "ok", "ok", "ok", "ok"]
    assert table["kept"].sum() == 3
    best = table[table["kept"]].sort_values("train_loss")
    assert train_set["seeds"].tolist() == best["seed"].tolist()
    assert train_set["weights"].dtype == np.float32
    trained = selection.read_trained(
        sorted(tmp_path.rglob("seeds_*.safetensors")), sorted(tmp_path.rglob("seeds_*.runs.csv"))
    )
    for checkpoint in ("train", "test"):
        of_set = storage.read_tensors(tmp_path / f"sgd_{checkpoint}.safetensors")["weights"]
        np.testing.assert_array_equal(of_set, trained.weights[checkpoint][best["seed"]])


def test_command_with_too_few_survivors_ends_with_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        select(monkeypatch, tmp_path, keep=5, failed=(0,))
    assert stopped.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: 4 of 5 runs")
    assert not (tmp_path / "sgd.csv").exists()
