"""What figures show: the numbers behind them, their panels, and equal files for equal input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import landscape_2d as find_paths_in_two_dimensions
import plot_barriers
import plot_landscape_2d
import plot_loss_curves
import plot_overview
from support.example_results import LABELS, loss_history, smallest_font, write_training
from topography import storage, synthetic
from topography.analysis import selection
from topography.figures import (
    FigureInputError,
    barriers,
    histograms,
    kernel_pca,
    landscape_2d,
    lengths,
    loss_curves,
    overview,
    style,
)
from topography.jobs import command_line
from topography.landscape import FunctionLandscape
from topography.paths import find_path

SCRIPTS = Path(plot_barriers.__file__).parent
STAMP = ["--scale", "smoke", "--dataset", "digits"]


def run(monkeypatch, script, *arguments) -> None:
    """Run a command in this process."""
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    command_line.run(script.main)


def assert_complete(stem: Path) -> pd.DataFrame:
    """The figure's three files are there and whole; return its numbers."""
    assert stem.with_suffix(".pdf").read_bytes().rstrip().endswith(b"%%EOF")
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    return storage.read_table(stem.with_suffix(".csv"))


# Histograms ---------------------------------------------------------------------------------------

positive = st.floats(1e-9, 1e9)


@given(
    samples=st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.lists(positive, min_size=1, max_size=40), min_size=1
    )
)
def test_every_value_is_counted_once(samples):
    samples = {name: np.array(values) for name, values in samples.items()}
    table = histograms.histogram_table({"fcp": samples})
    for name, values in samples.items():
        assert table.loc[table["set"] == name, "count"].sum() == len(values)
    assert (table["bin_left"] < table["bin_right"]).all()


def test_bins_are_common_to_the_sets_of_a_panel_and_own_to_a_panel():
    table = histograms.histogram_table(
        {
            "fcp": {"a": np.array([1.0, 2.0]), "b": np.array([9.0])},
            "lstm": {"a": np.array([0.1, 0.2])},
        }
    )
    edges = {
        name: rows["bin_left"].tolist() for name, rows in table.groupby(["architecture", "set"])
    }
    assert edges["fcp", "a"] == edges["fcp", "b"]
    assert edges["lstm", "a"] != edges["fcp", "a"]
    assert table["bin_right"].max() == 9.0


def test_bins_are_logarithmic_beyond_a_ratio_of_50():
    edges = histograms.common_edges({"a": np.array([0.01, 0.4]), "b": np.array([0.2])})
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[0])
    edges = histograms.common_edges({"a": np.array([0.01, 0.6]), "b": np.array([0.2])})
    np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])
    assert not histograms.is_logarithmic(0.0, 1.0)


def test_equal_values_have_a_bin():
    for value in (0.0, 3.0):
        edges = histograms.common_edges({"a": np.full(3, value)})
        assert edges[0] < value < edges[-1]


def barrier_files(folder: Path, architectures: list[str], sets: list[str], pairs: int) -> list:
    """Barrier tables with one column, heights by set and pair."""
    files = []
    for architecture in architectures:
        for row, name in enumerate(sets):
            file = folder / "train" / architecture / f"{name}.csv"
            heights = 0.1 * 6.0**row * np.linspace(1, 1.5, pairs)
            storage.write_table(file, pd.DataFrame({"height": heights}))
            files.append(file)
    return files


@pytest.mark.parametrize("pairs", [3, 300])
def test_panels_show_what_the_csv_says(tmp_path, pairs):
    sets = ["sgd_test", "lbfgs_test", "sgd_train", "lbfgs_train"]
    files = barrier_files(tmp_path, ["fcp", "autoencoder"], sets, pairs)
    landscape, heights = barriers.read_heights(files)
    numbers = barriers.shown_numbers(heights)
    figure = barriers.draw(numbers, landscape)
    assert numbers["set"].unique().tolist() == [
        "lbfgs_train", "lbfgs_test", "sgd_train", "sgd_test"
    ]  # fmt: skip
    for axes, architecture in zip(figure.axes, ["fcp", "autoencoder"], strict=True):
        panel = numbers[numbers["architecture"] == architecture]
        assert axes.get_xscale() == "log"  # 1.5 * 6^3 > 50
        drawn = [patch.get_data().values for patch in axes.patches]
        assert len(drawn) == 8  # a filled shape and an outline per set
        for shape, (_, bins) in zip(drawn[::2], panel.groupby("set", sort=False), strict=True):
            np.testing.assert_array_equal(shape, bins["count"])
        for lines, (_, bins) in zip(
            axes.collections, panel.groupby("set", sort=False), strict=True
        ):
            counts = bins["count"].to_numpy()
            tops = [line[:, 1].max() for line in lines.get_segments()]
            assert tops == np.minimum(counts[:-1], counts[1:]).tolist()  # between bins, not beyond
    assert figure.axes[0].get_xlabel() == "Path height $H$, train landscape (nats)"
    assert "mean squared error" in figure.axes[1].get_xlabel()
    assert len(figure.legends) == 1
    assert figure.legends[0].get_texts()[0].get_text() == "L-BFGS train"


def test_barriers_of_two_landscapes_or_none_are_refused(tmp_path):
    files = barrier_files(tmp_path, ["fcp"], ["sgd_test"], 3)
    other = tmp_path / "test" / "fcp" / "sgd_test.csv"
    storage.write_table(other, pd.DataFrame({"height": [1.0]}))
    with pytest.raises(FigureInputError, match=r"\['test', 'train'\]"):
        barriers.read_heights([*files, other])
    storage.write_table(other, pd.DataFrame({"height": np.array([], float)}))
    with pytest.raises(FigureInputError, match="has no rows"):
        barriers.read_heights([other])


def length_tables() -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Lengths 1..4 and 6..9 around an origin whose centroids are at 0.5."""
    table = pd.DataFrame(
        {
            "set": ["lbfgs_train"] * 4 + ["sgd_test"] * 4,
            "seed": [0, 1, 2, 3] * 2,
            "length": [6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0, 4.0],
        }
    )
    centroids = pd.DataFrame({"set": ["lbfgs_test", "sgd_test"], "distance": [0.5, 0.5]})
    return {"fcp": table}, {"fcp": centroids}


def test_lengths_have_a_dotted_line_at_the_centroids():
    numbers = lengths.shown_numbers(*length_tables(), "lbfgs_train-sgd_test")
    assert (numbers["centroid_distance"] == 0.5).all()
    assert numbers.groupby("set")["count"].sum().to_dict() == {"lbfgs_train": 4, "sgd_test": 4}
    (axes,) = lengths.draw(numbers).axes
    (line,) = axes.lines
    assert line.get_xdata() == [0.5, 0.5]
    assert line.get_linestyle() == ":"
    assert axes.get_xlim()[0] == 0


def test_lengths_without_a_set_or_centroids_are_refused():
    tables, centroids = length_tables()
    with pytest.raises(FigureInputError, match="'fcp' hold no set 'lbfgs_test'"):
        lengths.shown_numbers(tables, centroids, "lbfgs_test-sgd_test")
    with pytest.raises(FigureInputError, match="--centroids"):
        lengths.shown_numbers(tables, {}, "lbfgs_train-sgd_test")


# Other kinds --------------------------------------------------------------------------------------


def test_projections_are_those_asked_for():
    table = pd.DataFrame(
        {
            "comparison": ["x-y"] * 4 + ["x-z"] * 2,
            "kernel": ["rbf", "rbf", "pca", "pca", "rbf", "rbf"],
            "set": ["x", "y", "x", "y", "x", "z"],
            "seed": 0,
            "pc1": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "pc2": 0.0,
        }
    )
    numbers = kernel_pca.shown_numbers({"fcp": table, "lstm": table}, "x-y")
    assert numbers["pc1"].tolist() == [1, 2, 1, 2]
    figure = kernel_pca.draw(numbers)
    assert len(figure.axes) == 2
    shown = [tuple(points.get_offsets()[0]) for points in figure.axes[0].collections]
    assert shown == [(1, 0), (2, 0)]
    with pytest.raises(FigureInputError, match="no y-z with kernel 'rbf'"):
        kernel_pca.shown_numbers({"fcp": table}, "y-z")


def curves_input(kept: list[int]) -> tuple[dict, dict]:
    """Curves of seeds 0..3 of both optimizers, and selections that keep some of them."""
    histories, selections = {}, {}
    for optimizer, epochs in (("sgd", 12), ("lbfgs", 100)):
        tables = [
            loss_history(optimizer, epochs, seed, np.random.default_rng(seed)) for seed in range(4)
        ]
        minima = [
            {name: table.loc[table[f"{name}_loss"].idxmin(), "epoch"] for name in ("train", "test")}
            for table in tables
        ]
        histories["lstm", optimizer] = pd.concat(tables)
        selections["lstm", optimizer] = pd.DataFrame(
            {
                "seed": range(4),
                "kept": [seed in kept for seed in range(4)],
                "train_epoch": [minimum["train"] for minimum in minima],
                "test_epoch": [minimum["test"] for minimum in minima],
            }
        )
    return histories, selections


def test_curves_are_means_over_the_kept_runs_with_lines_at_their_median_minima():
    histories, selections = curves_input(kept=[0, 1, 3])
    numbers = loss_curves.shown_numbers(histories, selections)
    assert set(numbers["runs"]) == {3}
    for names, curve in numbers.groupby(["architecture", "optimizer"]):
        history = histories[names].query("seed != 2").groupby("epoch")
        assert curve["epoch"].tolist() == list(range({"sgd": 13, "lbfgs": 101}[names[1]]))
        for checkpoint in ("train", "test"):
            loss = curve[f"{checkpoint}_loss"].to_numpy()
            np.testing.assert_allclose(loss, history[f"{checkpoint}_loss"].mean())
            assert (curve[f"{checkpoint}_low"] <= loss).all()
            assert (loss <= curve[f"{checkpoint}_high"]).all()
            kept = sorted(selections[names].query("seed != 2")[f"{checkpoint}_epoch"])
            assert set(curve[f"{checkpoint}_minimum_epoch"]) == {kept[1]}
    train_axes, test_axes = loss_curves.draw(numbers).axes
    in_order = pd.concat([numbers[numbers["optimizer"] == name] for name in ("lbfgs", "sgd")])
    for axes, checkpoint in ((train_axes, "train"), (test_axes, "test")):
        assert axes.get_yscale() == "log"
        curves = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "-"]
        np.testing.assert_array_equal(np.concatenate(curves), in_order[f"{checkpoint}_loss"])
        dashed = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
        assert dashed == set(numbers[f"{checkpoint}_minimum_epoch"])
        for band, optimizer in zip(axes.collections, ("lbfgs", "sgd"), strict=True):
            heights = band.get_paths()[0].vertices[:, 1]
            curve = numbers[numbers["optimizer"] == optimizer]
            assert heights.min() == curve[f"{checkpoint}_low"].min()
            assert heights.max() == curve[f"{checkpoint}_high"].max()


def test_where_an_optimizer_has_no_curves_of_a_network_the_others_are_drawn():
    """Its networks come from elsewhere, and those of another architecture do not."""
    histories, selections = curves_input(kept=[0, 1, 3])
    numbers = loss_curves.shown_numbers(histories, selections)
    other = numbers[numbers["optimizer"] == "lbfgs"].assign(architecture="fcp")
    panels = loss_curves.draw(pd.concat([numbers, other])).axes
    assert [len(axes.collections) for axes in panels] == [2, 2, 1, 1]


def test_the_band_holds_the_true_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    losses = random.lognormal(sigma=0.3, size=(4000, 8))
    mean, low, high = loss_curves.mean_with_band(losses)
    np.testing.assert_allclose(mean, losses.mean(axis=1))
    true = np.exp(0.3**2 / 2)
    assert np.mean((low < true) & (true < high)) == pytest.approx(0.95, abs=0.015)


def test_a_band_stays_above_zero_and_has_no_width_where_runs_agree():
    _, low, high = loss_curves.mean_with_band(np.array([[1e-8, 1e-3, 1e-6], [2.0, 2.0, 2.0]]))
    assert 0 < low[0] < high[0]
    assert low[1] == high[1] == 2.0


def test_curves_of_different_length_are_refused():
    histories, selections = curves_input(kept=[0, 1])
    whole = histories["lstm", "sgd"]
    histories["lstm", "sgd"] = whole[(whole["seed"] != 1) | (whole["epoch"] <= 5)]
    with pytest.raises(FigureInputError, match=r"lstm/sgd are of different length"):
        loss_curves.shown_numbers(histories, selections)


def test_curves_that_do_not_fit_are_refused():
    histories, selections = curves_input(kept=[0, 1])
    histories["lstm", "sgd"] = histories["lstm", "sgd"].query("seed != 1")
    with pytest.raises(FigureInputError, match=r"seeds \[1\] have no loss curve"):
        loss_curves.shown_numbers(histories, selections)
    del selections["lstm", "sgd"]
    with pytest.raises(FigureInputError, match=r"lstm/sgd\.csv to --selections"):
        loss_curves.shown_numbers(histories, selections)


def landscape_tensors() -> dict[str, np.ndarray]:
    """Paths over a hill, the straight line highest."""
    t = np.linspace(0, 1, 21)
    tensors = {"t": t}
    for name, height in (("straight", 3.0), ("penalty_1000", 1.5), ("penalty_20", 1.0)):
        tensors[f"{name}_points"] = np.stack([t, height * t * (1 - t)], axis=1)
        tensors[f"{name}_losses"] = height * 4 * t * (1 - t)
    grid = np.linspace(-0.5, 1.5, 12)
    return tensors | {"grid_x": grid, "grid_y": grid, "grid_losses": np.add.outer(grid**2, grid**2)}


def test_paths_in_two_dimensions_are_ordered_by_penalty_with_their_heights():
    numbers = landscape_2d.shown_numbers(landscape_tensors())
    assert numbers["path"].unique().tolist() == ["straight", "penalty_20", "penalty_1000"]
    highest = numbers[numbers["highest"]]
    assert highest["loss"].tolist() == [3.0, 1.0, 1.5]
    assert highest["t"].tolist() == [0.5, 0.5, 0.5]


def test_paths_in_two_dimensions_are_drawn_on_the_map_and_along_t():
    tensors = landscape_tensors()
    numbers = landscape_2d.shown_numbers(tensors)
    drawn = landscape_2d.draw(numbers, tensors)
    on_map, along_t = drawn.axes[:2]
    for number, (_, path) in enumerate(numbers.groupby("path", sort=False)):
        np.testing.assert_array_equal(on_map.lines[number].get_xydata(), path[["x", "y"]])
        np.testing.assert_array_equal(along_t.lines[2 * number].get_xydata(), path[["t", "loss"]])
        top = along_t.lines[2 * number + 1].get_xydata()
        np.testing.assert_array_equal(top, path.loc[path["highest"], ["t", "loss"]])
    heights = [text.get_text() for text in along_t.texts if "$H" in text.get_text()]
    assert heights == ["$H_0$ = 3.000", "$H_1$ = 1.000", "$H_2$ = 1.500"]
    first, second = (text for text in on_map.texts if r"\mathbf{w}" in text.get_text())
    assert (first.xy, second.xy) == ((1.0, 0.0), (0.0, 0.0))  # t = 1, t = 0


@pytest.mark.parametrize("squared", [True, False])
def test_paths_in_two_dimensions_are_found_on_the_landscape_asked_for(
    tmp_path, monkeypatch, squared
):
    """Their losses are those of the landscape that is drawn, whichever was minimised."""
    file = tmp_path / "landscape_2d.safetensors"
    settings = {"terms": 2, "points": 9, "steps": 5, "learning_rate": 0.01}
    given = json.dumps({**settings, "penalties": [10], "squared": squared})
    run(monkeypatch, find_paths_in_two_dimensions, "--settings", given, "--output", file)
    minimised = synthetic.two_wells_squared if squared else synthetic.two_wells
    start, end = torch.tensor([synthetic.START, synthetic.END], dtype=torch.float64)
    path = find_path(FunctionLandscape(minimised), start, end, penalty=10, keep="last", **settings)
    tensors = storage.read_tensors(file)
    np.testing.assert_allclose(tensors["penalty_10_points"], path.points(9), rtol=1e-12)
    drawn = synthetic.two_wells(path.points(9))
    np.testing.assert_allclose(tensors["penalty_10_losses"], drawn, rtol=1e-9)


def test_the_landscape_in_two_dimensions_has_x_along_its_rows(tmp_path, monkeypatch):
    file = tmp_path / "landscape_2d.safetensors"
    settings = {"terms": 2, "points": 5, "steps": 1, "learning_rate": 0.01, "penalties": [10]}
    settings = json.dumps({**settings, "squared": True})
    run(monkeypatch, find_paths_in_two_dimensions, "--settings", settings, "--output", file)
    tensors = storage.read_tensors(file)
    row, column = 20, 150
    point = torch.tensor([[tensors["grid_x"][column], tensors["grid_y"][row]]])
    loss = synthetic.two_wells(point).item()
    assert tensors["grid_losses"][row, column] == pytest.approx(loss)
    assert tensors["grid_losses"][column, row] != pytest.approx(loss, rel=0.1)


def test_overview_shows_two_images_of_each_label():
    numbers = overview.shown_numbers(LABELS)
    assert numbers["label"].tolist() == list(range(10)) * 2
    assert numbers["image"].tolist() == list(range(0, 30, 3)) + list(range(1, 30, 3))
    # a label with a single image leaves no hole
    assert overview.shown_numbers(np.array([0, 1, 0]))["image"].tolist() == [0, 1, 2]


def test_overview_shows_colours_in_their_places():
    """One colour per label, whose planes are told apart; tiles lie on white."""
    images = np.zeros((30, 3, 32, 32), np.uint8)
    images[:, 0] = 200
    images[:, 2] = 20 * LABELS[:, None, None]
    figure = overview.draw(overview.shown_numbers(LABELS), images)
    (tiles,) = figure.axes[0].child_axes
    mosaic = tiles.get_images()[0].get_array()
    assert mosaic.shape == (4 * 34 - 2, 5 * 34 - 2, 3)
    assert mosaic[31, 31].tolist() == [200, 0, 0]
    assert mosaic[34, 34].tolist() == [200, 0, 120]
    assert mosaic[33, 33].tolist() == [255, 255, 255]


# Look and files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (7, 4)])
def test_panels_adapt_to_the_number_of_architectures(count, rows):
    architectures = ["fcp", *(f"mine{number}" for number in range(count - 1))]
    figure, panels = style.new_panels(architectures)
    assert len(panels) == len(figure.axes) == count
    assert [axes.get_title(loc="left") for axes in panels] == list("abcdefg"[:count])
    assert panels[0].get_title() == "FCP"
    assert {axes.get_subplotspec().get_gridspec().nrows for axes in panels} == {rows}
    assert figure.get_size_inches()[0] == pytest.approx(170 / 25.4)


def test_colours_of_new_sets_are_their_own_and_the_same_in_every_figure():
    names = ["sgd_train", "adam_train", "adam_test", "momentum_train", "momentum_test"]
    colours = style.set_colours(names)
    assert colours["sgd_train"] == style.SET_COLOURS["sgd_train"]
    assert len(set(colours.values())) == 5
    tests = style.set_colours(["sgd_test", "adam_test", "momentum_test"])  # as Figure S2 has them
    assert tests == {name: colours.get(name, style.SET_COLOURS.get(name)) for name in tests}
    optimizers = style.optimizer_colours(["sgd", "adam"])
    assert optimizers == {"sgd": style.OPTIMIZER_COLOURS["sgd"], "adam": colours["adam_train"]}


def test_many_further_optimizers_still_have_colours():
    assert len(style.optimizer_colours(f"number_{n}" for n in range(9))) == 9


def test_equal_figures_give_equal_files_without_a_date(tmp_path):
    numbers = lengths.shown_numbers(*length_tables(), "lbfgs_train-sgd_test")
    for name in ("one", "two"):
        figure = lengths.draw(numbers)
        style.stamp(figure, "smoke", "digits")
        style.save(figure, numbers, tmp_path / name / "fig5.v1")
    for suffix in (".pdf", ".png", ".csv"):
        first = (tmp_path / "one" / f"fig5.v1{suffix}").read_bytes()
        assert first == (tmp_path / "two" / f"fig5.v1{suffix}").read_bytes()
        assert b"CreationDate" not in first


def test_fonts_are_readable_in_print():
    sizes = [value for name, value in style.SETTINGS.items() if name.endswith("size")]
    assert min(sizes) >= 7
    figure = lengths.draw(lengths.shown_numbers(*length_tables(), "lbfgs_train-sgd_test"))
    style.stamp(figure, "smoke", "digits")
    assert smallest_font(figure) >= 7


def test_commands_write_whole_figures(tmp_path, monkeypatch):
    files = barrier_files(tmp_path, ["fcp"], ["sgd_test", "lbfgs_test"], 3)
    run(
        monkeypatch, plot_barriers, "--barriers", *files, *STAMP, "--output-stem", tmp_path / "fig4"
    )
    assert assert_complete(tmp_path / "fig4")["count"].sum() == 6

    storage.write_tensors(tmp_path / "landscape_2d.safetensors", landscape_tensors())
    landscape = ["--landscape", tmp_path / "landscape_2d.safetensors", "--scale", "smoke"]
    run(monkeypatch, plot_landscape_2d, *landscape, "--output-stem", tmp_path / "fig3")
    assert len(assert_complete(tmp_path / "fig3")) == 63

    images = np.random.default_rng(0).integers(0, 255, (30, 28, 28)).astype(np.uint8)
    data = {"train_images": images, "train_labels": LABELS.astype(np.uint8)}
    storage.write_tensors(tmp_path / "digits.safetensors", data)
    dataset = ["--data", tmp_path / "digits.safetensors"]
    run(monkeypatch, plot_overview, *dataset, *STAMP, "--output-stem", tmp_path / "fig1")
    assert len(assert_complete(tmp_path / "fig1")) == 20


def test_overview_of_a_text_is_refused(tmp_path, monkeypatch, capsys):
    tokens = np.zeros((30, 35), np.int32)
    data = {"train_images": tokens, "train_labels": tokens}
    storage.write_tensors(tmp_path / "own.safetensors", data)
    dataset = ["--data", tmp_path / "own.safetensors"]
    with pytest.raises(SystemExit):
        run(monkeypatch, plot_overview, *dataset, *STAMP, "--output-stem", tmp_path / "fig1")
    assert "own.safetensors holds a text" in capsys.readouterr().err


def test_loss_curve_command_finds_the_kept_runs_among_jobs(tmp_path, monkeypatch):
    histories, selections, lowest = [], [], {}
    for optimizer in ("lbfgs", "sgd"):
        jobs = [
            write_training(tmp_path / "training", "lstm", optimizer, seeds, epochs=9)
            for seeds in (range(2), range(2, 4))
        ]
        trained = selection.read_trained(
            [job["weights"] for job in jobs], [job["runs"] for job in jobs]
        )
        selections.append(tmp_path / "selection" / "lstm" / f"{optimizer}.csv")
        storage.write_table(selections[-1], selection.rank_runs(trained, keep=3))
        histories += [job["history"] for job in jobs]
        kept = trained.runs.nsmallest(3, "train_loss")["seed"]
        curves = pd.concat([storage.read_table(job["history"]) for job in jobs])
        chosen = curves[curves["seed"].isin(kept)].groupby("epoch")
        lowest[optimizer] = chosen["test_loss"].mean().min()
    inputs = ["--histories", *histories, "--selections", *selections]
    run(monkeypatch, plot_loss_curves, *inputs, *STAMP, "--output-stem", tmp_path / "fig2")
    shown = assert_complete(tmp_path / "fig2").groupby("optimizer")
    assert shown["test_loss"].min().to_dict() == pytest.approx(lowest)
    assert set(shown["runs"].max()) == {3}


def test_no_command_of_these_stages_imports_torch():
    names = [
        "select_runs", "sample_pairs", "collect_barriers", "weight_statistics", "vector_lengths",
        "kernel_pca", "table_losses", "table_weights",
        *(path.stem for path in SCRIPTS.glob("plot_*.py")),
    ]  # fmt: skip
    slow = "{'torch', 'sklearn'} & set(sys.modules)"
    code = f"import sys, {', '.join(names)}; print(sorted({slow}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
