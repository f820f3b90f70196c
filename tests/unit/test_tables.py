"""Tables 1 and S1: means of what was kept, in the shape of the paper."""

import numpy as np
import pandas as pd
import pytest

import table_losses
import table_weights
from topography import storage
from topography.analysis import tables
from topography.jobs import command_line

OPTIMIZERS = ("sgd", "lbfgs")


def selection_table(offset: float) -> pd.DataFrame:
    """Three runs, of which the second was not kept and the others differ by 0.2."""
    return pd.DataFrame(
        {
            "seed": [0, 1, 2],
            "status": "ok",
            "reason": "",
            "train_epoch": 9,
            "train_loss": [offset, 100.0, offset + 0.2],
            "test_epoch": 4,
            "test_loss": [offset + 1, 100.0, offset + 1.2],
            "rank": [1, 3, 2],
            "kept": [True, False, True],
        }
    )


def statistics_table(parameters: int) -> pd.DataFrame:
    """Weight statistics of the four sets."""
    return pd.DataFrame(
        {
            "set": ["sgd_train", "sgd_test", "lbfgs_train", "lbfgs_test"],
            "mean": [1e-3, 2e-3, 3e-3, 4e-3],
            "standard_deviation": [0.1, 0.2, 0.3, 0.4],
            "components": 2 * parameters,
            "parameters": parameters,
        }
    )


@pytest.fixture
def losses() -> pd.DataFrame:
    """Table 1 of two architectures."""
    selections = {
        (architecture, optimizer): selection_table(10 * row + column)
        for row, architecture in enumerate(("fcp", "lstm"))
        for column, optimizer in enumerate(OPTIMIZERS)
    }
    return tables.loss_table(
        selections, {"fcp": statistics_table(42200), "lstm": statistics_table(15456)}
    )


def test_losses_are_means_of_the_kept_runs(losses):
    row = losses[(losses["architecture"] == "lstm") & (losses["optimizer"] == "lbfgs")].iloc[0]
    assert row["train_loss"] == pytest.approx(11.1)
    assert row["test_loss"] == pytest.approx(12.1)
    assert row["train_loss_standard_deviation"] == pytest.approx(0.2 / np.sqrt(2))
    assert (row["runs"], row["parameters"]) == (2, 15456)


def test_markdown_has_the_shape_of_table_1(losses):
    lines = tables.loss_markdown(losses, "smoke", "digits").splitlines()
    assert "over 2 independent runs. Scale smoke, dataset digits." in lines[0]
    assert lines[2] == (
        "| NN | train loss, L-BFGS | train loss, SGD | test loss, L-BFGS | test loss, SGD | N_prm |"
    )
    assert lines[4] == "| FCP | 1.10e+00 | 1.00e-01 | 2.10e+00 | 1.10e+00 | 42200 |"
    assert lines[5].startswith("| LSTM | 1.11e+01 |")


def test_caption_says_which_networks_have_how_many_runs(losses):
    fcp = losses[losses["architecture"] == "fcp"]
    few = pd.concat([losses, fcp.assign(architecture="lenet", runs=1)])
    caption = tables.loss_markdown(few, "smoke", "digits").splitlines()[0]
    assert "over independent runs, 2 of FCP and LSTM, 1 of LeNet. Scale smoke" in caption


def test_absent_optimizer_is_a_dash_and_a_new_one_has_columns():
    selections = {
        ("fcp", "lbfgs"): selection_table(1),
        ("mine", "adam"): selection_table(2),
    }
    statistics = {"fcp": statistics_table(5), "mine": statistics_table(6)}
    lines = tables.loss_markdown(tables.loss_table(selections, statistics), "s", "d").splitlines()
    assert lines[4] == "| FCP | 1.10e+00 | - | 2.10e+00 | - | 5 |"
    assert lines[5] == "| mine | - | 2.10e+00 | - | 3.10e+00 | 6 |"


def test_standard_deviation_of_one_run_is_unknown():
    single = selection_table(1)[:1]
    table = tables.loss_table({("fcp", "sgd"): single}, {"fcp": statistics_table(5)})
    assert table["train_loss"].iloc[0] == 1
    assert np.isnan(table["train_loss_standard_deviation"].iloc[0])


def test_architecture_without_statistics_is_named():
    with pytest.raises(tables.TableError, match=r"'fcp'.*--statistics"):
        tables.loss_table({("fcp", "sgd"): selection_table(1)}, {"lstm": statistics_table(5)})


def test_weights_markdown_has_the_order_of_table_s1():
    weights = tables.weight_table({"fcp": statistics_table(5)})
    lines = tables.weight_markdown(weights, "smoke", "digits").splitlines()
    assert lines[2] == (
        "| NN | train SGD mean | train SGD sd | train L-BFGS mean | train L-BFGS sd "
        "| test SGD mean | test SGD sd | test L-BFGS mean | test L-BFGS sd |"
    )
    assert lines[4] == (
        "| FCP | 1.00e-03 | 1.00e-01 | 3.00e-03 | 3.00e-01 "
        "| 2.00e-03 | 2.00e-01 | 4.00e-03 | 4.00e-01 |"
    )


def test_captions_name_weights_from_elsewhere(losses):
    imported = ["fcp/sgd", "mine/adam"]
    ending = "dataset digits. Weights from elsewhere: FCP with SGD, mine with adam."
    for text in (
        tables.loss_markdown(losses, "smoke", "digits", imported),
        tables.weight_markdown(
            tables.weight_table({"fcp": statistics_table(5)}), "smoke", "digits", imported
        ),
    ):
        assert text.splitlines()[0].endswith(ending)


@pytest.mark.parametrize("imported", [[], ["fcp/lbfgs"]])
def test_commands(tmp_path, monkeypatch, imported):
    selections = []
    for optimizer in OPTIMIZERS:
        selections.append(tmp_path / "selection" / "fcp" / f"{optimizer}.csv")
        storage.write_table(selections[-1], selection_table(1))
    statistics = tmp_path / "statistics" / "fcp.csv"
    storage.write_table(statistics, statistics_table(42200))
    stamp = ["--scale", "smoke", "--dataset", "digits", "--imported", *imported]
    for script, inputs in (
        (table_losses, ["--selections", *selections, "--statistics", statistics]),
        (table_weights, ["--statistics", statistics]),
    ):
        csv, markdown = tmp_path / f"{script.__name__}.csv", tmp_path / f"{script.__name__}.md"
        arguments = [*inputs, *stamp, "--csv", csv, "--markdown", markdown]
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        command_line.run(script.main)
        assert storage.read_table(csv)["architecture"].unique().tolist() == ["fcp"]
        assert "| FCP |" in markdown.read_text()
        assert ("elsewhere: FCP with L-BFGS." in markdown.read_text()) == bool(imported)
