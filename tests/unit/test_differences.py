"""What variants change, on made-up results whose ratios are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import table_differences
from topography import storage
from topography.jobs import command_line
from topography.naming import DEFAULT
from topography.report import differences
from topography.report.differences import Measured

SEEDS = np.arange(6)
FIRST, SECOND = np.triu_indices(6, k=1)
LOSSES = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


def measured(factor: float = 1.0, seeds: np.ndarray = SEEDS) -> Measured:
    """One set whose losses, spreads and heights are those of the default times a factor."""
    moments = np.stack([np.zeros(6), np.square(factor * LOSSES)], axis=1)
    return Measured(
        {"sgd_test": (seeds, factor * LOSSES)},
        {"sgd_test": (seeds, moments)},
        {"sgd_test": (seeds[FIRST], seeds[SECOND], factor * (LOSSES[FIRST] + LOSSES[SECOND]))},
    )


def test_a_change_by_one_factor_has_no_uncertainty_however_much_seeds_spread() -> None:
    table = differences.compare({DEFAULT: measured(), "twice": measured(2.0)})
    assert table["quantity"].tolist() == ["loss", "spread", "height"]
    assert table[["ratio", "low", "high"]].to_numpy() == pytest.approx(np.full((3, 3), 2.0))
    assert table["default"].tolist() == pytest.approx(
        [LOSSES.mean(), np.sqrt(np.square(LOSSES).mean()), 2 * LOSSES.mean()]
    )


def test_runs_are_paired_by_seed_not_by_rank() -> None:
    other = differences.compare({DEFAULT: measured(), "twice": measured(2.0, SEEDS[::-1])})
    assert other["ratio"].tolist() == pytest.approx([2.0] * 3)
    assert (other["high"] - other["low"] > 1).all()


@pytest.mark.parametrize(("runs", "pairs", "known"), [(5, 10, False), (6, 5, False), (6, 6, True)])
def test_intervals_need_six_runs_and_six_pairs(runs: int, pairs: int, known: bool) -> None:
    # Six pairs in a ring, or all pairs of five runs.
    first, second = (SEEDS, (SEEDS + 1) % 6) if runs == 6 else np.triu_indices(5, k=1)

    def few(factor: float) -> Measured:
        heights = factor * (LOSSES[first] + LOSSES[second])
        return Measured(
            {"sgd_test": (SEEDS[:runs], factor * LOSSES[:runs])},
            {},
            {"sgd_test": (first[:pairs], second[:pairs], heights[:pairs])},
        )

    table = differences.compare({DEFAULT: few(1.0), "half": few(0.5)}).set_index("quantity")
    assert table["ratio"].tolist() == pytest.approx([0.5, 0.5])
    assert table.loc["height", ["low", "high"]].notna().all() == known
    assert table.loc["loss", ["low", "high"]].notna().all() == (runs == 6)
    text = differences.markdown(table.reset_index(), "mine", "mnist")
    assert ("| 0.5 |" in text) == (not known)


def test_files_are_told_apart_by_their_folders_and_shared_networks_give_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"--selections": [], "--sets": [], "--barriers": []}
    seeds = np.arange(7)
    for folder, factor in (("", 1.0), ("variants/relu/", 3.0), ("variants/last/", 0.5)):
        losses = factor * np.append(LOSSES, 64.0)
        tables = {
            "--selections": ("selection/fcp/sgd.csv", {"train_loss": losses, "test_loss": losses}),
            "--barriers": ("barriers/train/fcp/sgd_test.csv", {"height": losses}),
        }
        tables["--selections"][1].update(seed=seeds, kept=seeds < 6)
        tables["--barriers"][1].update(seed_i=seeds % 6, seed_j=(seeds + 1) % 6)
        for name, (path, columns) in tables.items():
            if name == "--selections" and folder == "variants/last/":
                continue
            file = tmp_path / folder / path
            storage.write_table(file, pd.DataFrame(columns))
            arguments[name].append(file)
        for name in ("sgd_train", "sgd_test") if folder != "variants/last/" else ():
            file = tmp_path / folder / f"sets/fcp/{name}.safetensors"
            weights = np.outer(losses[:6], [-1, 1]).astype(np.float32)
            storage.write_tensors(file, {"weights": weights, "seeds": SEEDS})
            arguments["--sets"].append(file)
    outputs = {"--csv": tmp_path / "out.csv", "--markdown": tmp_path / "out.md"}
    stamp = ["--scale", "mine", "--dataset", "mnist"]
    given = [part for name, files in arguments.items() for part in (name, *files)]
    written = [part for item in outputs.items() for part in item]
    monkeypatch.setattr("sys.argv", ["command", *map(str, [*given, *written, *stamp])])
    command_line.run(table_differences.main)
    table = storage.read_table(outputs["--csv"])
    table = table.set_index(["variant", "quantity", "set"]).sort_index()
    assert table.loc["relu", "ratio"].tolist() == pytest.approx([3.0] * 5)
    assert table.loc["last"].index.tolist() == [("height", "sgd_test")]
    assert table.loc[("last", "height", "sgd_test"), "ratio"] == pytest.approx(0.5)
    text = outputs["--markdown"].read_text()
    assert "| height, SGD test | 18.1 | **3** [3, 3] | **0.5** [0.5, 0.5] |" in text
    assert "| train loss, SGD | 10.5 | **3** [3, 3] | same |" in text
