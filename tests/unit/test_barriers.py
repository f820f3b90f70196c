"""One row per pair, measured rightly; path files that do not fit are refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import collect_barriers
from support.example_results import path_tensors
from topography import seeding, storage
from topography.analysis import barriers, pairs
from topography.jobs import command_line

KEEP = 5  # 10 pairs


@pytest.fixture
def asked() -> pd.DataFrame:
    """Pairs file of a set."""
    return pairs.pair_table(np.arange(KEEP), seeding.numpy_generator(0, "test"))


def heights(rows: slice) -> np.ndarray:
    """Heights by row of the pairs file."""
    return 0.5 + 0.1 * np.arange(KEEP * (KEEP - 1) / 2)[rows]


def path_file(asked: pd.DataFrame, rows: slice) -> dict[str, np.ndarray]:
    """Content of the path file of some rows of the pairs file."""
    return path_tensors(asked[["i", "j"]].to_numpy()[rows], heights(rows))


def collected(asked: pd.DataFrame, *rows: slice) -> pd.DataFrame:
    """Barriers of path files of the given rows of the pairs file."""
    files = {Path(f"pairs_{part.start}.safetensors"): path_file(asked, part) for part in rows}
    return barriers.collect(asked, files)


def test_rows_follow_the_pairs_file_whatever_the_order_of_files(asked):
    whole = collected(asked, slice(0, 10))
    parts = collected(asked, slice(7, 10), slice(0, 3), slice(3, 7))
    pd.testing.assert_frame_equal(whole, parts.reset_index(drop=True))
    pd.testing.assert_frame_equal(whole[list(asked.columns)], asked)


def test_fewer_paths_than_pairs_are_the_first(asked):
    assert collected(asked, slice(0, 4))["pair"].tolist() == [0, 1, 2, 3]


def test_measures(asked):
    table = collected(asked, slice(0, 10))
    np.testing.assert_allclose(table["height"], heights(slice(None)), rtol=1e-3)
    np.testing.assert_allclose(table["straight_height"], 3 * heights(slice(None)), rtol=1e-2)
    # t = 1 is network i, t = 0 network j (Eq. 3)
    np.testing.assert_allclose(table["start_loss"], 0.01)
    np.testing.assert_allclose(table["end_loss"], 0.02)
    np.testing.assert_allclose(table["path_length"], 1.2 + 0.1 * heights(slice(None)))
    np.testing.assert_allclose(table["straight_length"], 1)


def test_the_barrier_is_what_the_fine_grid_rises_above_the_higher_end(asked):
    content = path_file(asked, slice(0, 10))
    content["fine_losses"][2, 33] = 7.0
    content["fine_losses"][4] = np.linspace(0.02, 0.01, 201)  # falls all the way
    table = barriers.collect(asked, {Path("paths"): content})
    assert table.loc[2, "barrier"] == pytest.approx(7.0 - 0.02)
    assert table.loc[4, "barrier"] == 0.0


def test_start_is_at_t_1_even_if_t_falls(asked):
    content = path_file(asked, slice(0, 10))
    content["t"], content["losses"] = content["t"][::-1], content["losses"][:, ::-1]
    table = barriers.collect(asked, {Path("paths"): content})
    np.testing.assert_allclose(table["start_loss"], 0.01)


def test_a_peak_between_the_points_shows_on_the_fine_grid_only(asked):
    content = path_file(asked, slice(0, 10))
    content["fine_losses"][2, 33] = 7.0
    table = barriers.collect(asked, {Path("paths"): content})
    assert table.loc[2, "fine_height"] == 7.0
    assert table.loc[2, "height"] == pytest.approx(0.7, rel=1e-3)


def test_a_gap_is_an_error(asked):
    with pytest.raises(barriers.BarrierError, match=r"these have none: \[3, 4\]"):
        collected(asked, slice(0, 3), slice(5, 8))


def test_overlapping_files_are_an_error(asked):
    with pytest.raises(barriers.BarrierError, match=r"Pair 2 .* pairs_0.*, pairs_2"):
        collected(asked, slice(0, 3), slice(2, 5))


def test_a_path_of_another_set_is_an_error(asked):
    content = path_file(asked, slice(0, 10))
    content["pairs"][4] = [1, 30]
    with pytest.raises(barriers.BarrierError, match=r"networks 1 and 30.* no pair"):
        barriers.collect(asked, {Path("paths"): content})


@pytest.mark.parametrize(
    ("tensor", "column"),
    [
        ("losses", "height"),
        ("fine_losses", "fine_height"),
        ("straight_losses", "straight_height"),
        ("step_losses", "step_losses"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_single_loss_that_is_not_finite_is_an_error(asked, tensor, column, value):
    content = path_file(asked, slice(0, 10))
    content[tensor][6, -2] = value
    with pytest.raises(barriers.BarrierError, match=f"pair 6 .* in my paths has .* {column}"):
        barriers.collect(asked, {Path("my paths"): content})


def test_command(tmp_path, monkeypatch, asked):
    storage.write_table(tmp_path / "pairs.csv", asked)
    files = []
    for first, last in ((0, 4), (5, 9)):
        files.append(tmp_path / f"pairs_{first}-{last}.safetensors")
        storage.write_tensors(files[-1], path_file(asked, slice(first, last + 1)))
    arguments = ["--pairs", tmp_path / "pairs.csv", "--paths", *files]
    arguments += ["--output", tmp_path / "barriers.csv"]
    monkeypatch.setattr("sys.argv", ["collect_barriers.py", *map(str, arguments)])
    command_line.run(collect_barriers.main)
    table = storage.read_table(tmp_path / "barriers.csv")
    assert list(table.columns) == [
        "pair", "i", "j", "seed_i", "seed_j", "start_loss", "end_loss", "height", "fine_height",
        "barrier", "straight_height", "path_length", "straight_length",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(
        table, collected(asked, slice(0, 10)), check_dtype=False, rtol=1e-8
    )
