"""Figures and claims of the second study, from runs as the configuration names them."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import judge_geometry
import plot_geometry
import record_geometry
from support.clones import REPOSITORY
from support.example_results import smallest_font
from topography import storage
from topography.analysis import optimization_paths
from topography.datasets import load_dataset, write_dataset
from topography.figures import geometry
from topography.figures.geometry_panels import FIGURES, Panel
from topography.jobs import command_line
from topography.report import geometry_claims
from topography.report.claims import VERDICTS
from topography.workflow import configuration

CONFIG = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
SMOKE = yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text())
CLAIMS = yaml.safe_load((REPOSITORY / "config/geometry_claims.yaml").read_text())["claims"]
FEW_EPOCHS = {"epochs": 3}


def run(monkeypatch: pytest.MonkeyPatch, script: object, *arguments: object) -> None:
    """Run a command in this process."""
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    command_line.run(script.main)


def shortened(runs: dict) -> dict:
    """The runs of a study, cut to what a test can wait for."""
    short = {}
    for name, settings in runs.items():
        own = {"seeds": min(settings["seeds"], 2), "images": {"train": 128, "test": 50}}
        if settings["function"] is not None:
            own["optimizer_settings"] = FEW_EPOCHS
        elif "batch_size" in settings["optimizer_settings"]:
            own["optimizer_settings"] = {
                "batch_size": min(settings["optimizer_settings"]["batch_size"] // 4, 64)
            }
        if settings["probes"]:
            own["probes"] = {"sizes": [8, 32, 128], "size": 32}
        short[name] = configuration.merge(settings, own)
    return short


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of all studies at the scale smoke, cut further."""
    folder = tmp_path_factory.mktemp("records")
    config = configuration.merge(CONFIG, SMOKE)
    data = []
    for name in ("digits", "descriptions"):
        data.append(folder / f"{name}.safetensors")
        write_dataset(data[-1], load_dataset(name, folder, "download"))
    with pytest.MonkeyPatch.context() as patch:
        for study in config["geometry"]["studies"]:
            runs = shortened(configuration.geometry_runs(config, study))
            stem = folder / "records" / study
            run(
                patch, record_geometry, "--data", *data, "--runs", json.dumps(runs),
                "--device", "cpu", "--records", f"{stem}.safetensors",
                "--summary", f"{stem}.csv", "--probes", f"{stem}.probes.csv",
            )  # fmt: skip
    torch.set_flush_denormal(False)
    return folder / "records"


def test_the_configuration_has_the_runs_that_figures_and_claims_name() -> None:
    known = {
        f"{study}/{name}"
        for study in CONFIG["geometry"]["studies"]
        for name in configuration.geometry_runs(CONFIG, study)
    }
    shown = {name for panels in FIGURES.values() for panel in panels for name in panel.runs}
    claimed = {name for claim in CLAIMS for name in claim["of"] if "/" in str(name)}
    assert shown <= known
    assert claimed <= known
    assert [f"fig{number}" for number in range(1, 15)] == list(FIGURES)[:14]


def test_a_run_is_laid_on_its_optimizer_and_the_defaults() -> None:
    runs = configuration.geometry_runs(CONFIG, "optimizer")
    section = CONFIG["geometry"]
    assert runs["adam"]["optimizer_settings"] == section["optimizers"]["adam"]
    assert runs["momentum"]["optimizer_settings"] == {
        **section["optimizers"]["sgd"],
        "learning_rate": 0.01,
        "momentum": 0.9,
    }
    assert runs["sgd"]["dataset"] == CONFIG["dataset"]
    assert runs["adam"]["seeds"] == section["defaults"]["seeds"]


def test_every_figure_shows_its_panels_with_their_null(recorded: Path) -> None:
    runs = optimization_paths.read_runs(sorted(recorded.glob("*.safetensors")))
    probes = storage.read_table(recorded / "controls.probes.csv")
    for name, panels in FIGURES.items():
        numbers = geometry.shown_numbers(panels, runs, probes)
        assert numbers["panel"].nunique() == len(panels), name
        for letter, panel in zip("abcdefghijkl", panels, strict=False):
            rows = numbers[numbers["panel"] == letter]
            assert rows["mean"].notna().all(), (name, panel)
            assert (rows["low"] <= rows["mean"] + 1e-12).all()
            assert (rows["mean"] <= rows["high"] + 1e-12).all()
            # Every cosine with the end of its path beside its null, and no other.
            nulls = rows[rows["comparison"].notna()]["series"].unique().tolist()
            if "cosine" in panel.quantity and panel.kind in ("path", "seeds"):
                assert nulls == rows["series"].unique().tolist(), (name, panel)
            if panel.kind == "references":
                assert nulls == ["end"]
                assert rows["series"].nunique() == 5
            if panel.kind == "gradients":
                assert rows["series"].unique().tolist() == ["train", "held out", "random labels"]
    cosines = runs["optimizer/sgd"].shown("cosine")
    last = runs["optimizer/sgd"].records["loss"].shape[1]
    steps_per_epoch = runs["optimizer/sgd"].notes["steps_per_epoch"]
    assert cosines.shape[1] == last - steps_per_epoch  # without the last epoch


@pytest.mark.parametrize("figure", ["fig2", "fig5", "probes"])
def test_figures_are_drawn_and_say_what_the_null_is(recorded: Path, figure: str) -> None:
    runs = optimization_paths.read_runs(sorted(recorded.glob("*.safetensors")))
    probes = storage.read_table(recorded / "controls.probes.csv")
    panels = FIGURES[figure]
    drawn = geometry.draw(panels, geometry.shown_numbers(panels, runs, probes))
    assert [axes.get_title() for axes in drawn.axes] == [panel.title for panel in panels]
    assert "right angles" in drawn.legends[0].texts[0].get_text()
    assert smallest_font(drawn) >= 7


def test_the_script_writes_all_files_of_a_figure(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        monkeypatch, plot_geometry, "--figure", "fig4",
        "--records", recorded / "optimizer.safetensors", recorded / "epochs.safetensors",
        "--scale", "smoke", "--output-stem", tmp_path / "fig4",
    )  # fmt: skip
    assert (tmp_path / "fig4.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "fig4.png").read_bytes().startswith(b"\x89PNG")
    numbers = storage.read_table(tmp_path / "fig4.csv")
    assert set(numbers["series"]) == {"seed 0", "seed 1", "epochs_5", "epochs_10", "epochs_20"}


def test_summaries_hold_every_epoch_of_every_run(recorded: Path) -> None:
    table = storage.read_table(recorded / "optimizer.csv")
    cosine = table[table["quantity"] == "cosine"]
    assert set(cosine["run"]) == {"sgd", "momentum", "adam"}
    assert cosine.groupby("run")["epoch"].max().tolist() == [4, 4, 4]
    runs = optimization_paths.read_runs([recorded / "optimizer.safetensors"])
    first = runs["optimizer/adam"].shown("cosine")[
        0, : runs["optimizer/adam"].notes["steps_per_epoch"]
    ]
    row = cosine[(cosine["run"] == "adam") & (cosine["epoch"] == 1)].iloc[0]
    assert row["mean"] == pytest.approx(first.mean(), rel=1e-6)
    assert row["minimum"] == pytest.approx(first.min(), rel=1e-6)


# Claims -------------------------------------------------------------------------------------------


def test_every_claim_gets_a_verdict(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        monkeypatch, judge_geometry, "--records", *sorted(recorded.glob("*.safetensors")),
        "--probes", recorded / "controls.probes.csv", "--scale", "smoke",
        "--claims", REPOSITORY / "config/geometry_claims.yaml",
        "--csv", tmp_path / "claims.csv", "--markdown", tmp_path / "claims.md",
    )  # fmt: skip
    table = storage.read_table(tmp_path / "claims.csv")
    assert table["claim"].tolist() == [claim["id"] for claim in CLAIMS]
    assert set(table["verdict"]) <= {
        *VERDICTS,
        geometry_claims.SAYS_NOTHING,
    }
    text = (tmp_path / "claims.md").read_text()
    assert text.count("\n| Sec.") == len(CLAIMS)
    assert "smoke, on descriptions, digits:" in text


def made_up_run(
    cosine: np.ndarray, batch_size: int = 8, update: float = 1.0, **others: np.ndarray
) -> optimization_paths.Run:
    """A run of 4 epochs with these cosines [S, T], of unit gradients and distances.

    RSI and the locally optimal rate are the cosine too. others: records that are not as said.
    """
    ones = np.ones_like(cosine)
    records = {
        "loss": ones,
        "learning_rate": ones,
        "gradient_norm": ones,
        "update_norm": update * ones,
        "distance": ones[:, None],
        "gradient_product": cosine[:, None],
        "update_product": -cosine[:, None],
    }
    notes = {
        "seeds": list(range(len(cosine))),
        "references": ["end"],
        "steps_per_epoch": cosine.shape[1] // 4,
        "settings": {"optimizer_settings": {"batch_size": batch_size}},
    }
    return optimization_paths.Run(notes, records | others)


def test_a_curve_shows_the_mean_and_the_extremes_of_steps_and_seeds_beside_the_null() -> None:
    cosine = np.array([[0.5, 0.1, np.nan, 0.3, 0.2, 0.4, -1, -1], [0.7] * 6 + [-1, -1]])
    panel = Panel("title", "cosine", ("a/run",))
    table = geometry.shown_numbers([panel], {"a/run": made_up_run(cosine)}, pd.DataFrame())
    # Fewer steps than bins, so that each is a point; two to an epoch, and the last epoch left out.
    np.testing.assert_allclose(table["position"], [0.25, 0.75, 1.25, 1.75, 2.25, 2.75])
    np.testing.assert_allclose(table["mean"], [0.6, 0.4, 0.7, 0.5, 0.45, 0.55])
    np.testing.assert_allclose(table["low"], [0.5, 0.1, 0.7, 0.3, 0.2, 0.4])
    np.testing.assert_allclose(table["high"], 0.7)
    np.testing.assert_allclose(table["comparison"], [1 / math.sqrt(8 - step) for step in range(6)])

    steps = np.tile(np.linspace(0.1, 0.2, 4 * 90), (1, 1))  # 270 count, in 60 bins
    long = geometry.shown_numbers([panel], {"a/run": made_up_run(steps)}, pd.DataFrame())
    assert len(long) == geometry.BINS
    edges = np.linspace(0, 270, 61).round().astype(int)
    means = [steps[0, start:end].mean() for start, end in itertools.pairwise(edges)]
    np.testing.assert_allclose(long["mean"], means)

    (axes,) = geometry.draw([panel], long).axes
    curve, null = axes.lines[:2]
    np.testing.assert_array_equal(curve.get_xydata(), long[["position", "mean"]])
    np.testing.assert_array_equal(null.get_xydata(), long[["position", "comparison"]])
    assert curve.get_linestyle() == "-" != null.get_linestyle()

    seeds = Panel("title", "cosine", ("a/run",), kind="seeds")
    table = geometry.shown_numbers([seeds], {"a/run": made_up_run(cosine)}, pd.DataFrame())
    one = table[table["series"] == "seed 0"]
    np.testing.assert_allclose(one["mean"], [0.5, 0.1, 0.3, 0.2, 0.4])
    np.testing.assert_allclose(table[table["series"] == "seed 1"]["mean"], 0.7)


def judged(measure: str, of: list, limits: list, runs: dict) -> pd.Series:
    claim = {
        "id": "x", "section": "1", "statement": "s", "measure": measure, "of": of, "range": limits
    }  # fmt: skip
    return geometry_claims.judge([claim], runs, pd.DataFrame()).iloc[0]


def test_verdicts_follow_the_seeds_and_the_null() -> None:
    half = np.full((2, 8), 0.5)
    runs = {"a/low": made_up_run(half), "a/high": made_up_run(2 * half)}
    ratio = judged("cosine_ratio", ["a/high", "a/low"], [1.5, 3], runs)
    assert (ratio["measured"], ratio["null_model"]) == (2.0, 1.0)
    assert ratio["verdict"] == "agrees"
    assert judged("cosine_ratio", ["a/high", "a/low"], [0.5, 3], runs)["verdict"] == (
        "agrees, as does the null model"
    )
    assert judged("cosine_ratio", ["a/high", "a/low"], [3, 9], runs)["verdict"] == "differs"
    runs["a/mixed"] = made_up_run(np.array([[0.5] * 8, [0.1] * 8]))
    mixed = judged("cosine_ratio", ["a/mixed", "a/low"], [0.9, 1.1], runs)
    assert mixed["verdict"] == "inconclusive"
    assert mixed["lowest_seed"] == pytest.approx(0.2)
    assert mixed["highest_seed"] == 1.0


def test_negative_steps_are_counted_without_the_last_epoch() -> None:
    cosine = np.array([[0.1, -0.1, 0.1, 0.1, 0.1, -0.1, -1, -1], [0.1] * 8])
    runs = {"a/b": made_up_run(cosine)}
    found = judged("negative_fraction", ["a/b"], [0, 0.5], runs)
    assert (found["lowest_seed"], found["highest_seed"]) == (0, pytest.approx(2 / 6))
    assert judged("seeds_with_negatives", ["a/b"], [0, 1], runs)["measured"] == 0.5


def epochs(*means: float, seeds: int = 1) -> np.ndarray:
    """Values [S, 2 x epochs] of two steps per epoch, a tenth below and above these means."""
    return np.tile(np.outer(means, [0.9, 1.1]).ravel(), (seeds, 1))


def test_measures_of_epochs_leave_out_the_last_one_and_some_the_first() -> None:
    null = [1 / math.sqrt(8 - step) for step in range(8)]  # of steps of equal length
    nulls = [(null[2 * epoch] + null[2 * epoch + 1]) / 2 for epoch in range(4)]
    runs = {"a/run": made_up_run(epochs(0.9, 0.2, 0.5, 0.01))}
    found = judged("epoch_range", ["a/run"], [1, 3], runs)
    assert found["measured"] == pytest.approx(2.5)
    assert found["null_model"] == pytest.approx(nulls[2] / nulls[1])

    spread = np.concatenate([epochs(0.3, 0.2, 0.1, 0.9), epochs(0.3, 0.2, 0.3, 0.1)])
    runs = {"a/run": made_up_run(spread)}
    deviation = np.std([0.1, 0.3], ddof=1) / 0.2  # of the third epoch
    found = judged("seed_spread", ["a/run"], [0, 1], runs)
    assert found["measured"] == pytest.approx(deviation)
    assert found["null_model"] == 0  # steps of both seeds are equally long
    longer = np.ones_like(spread)
    longer[1, 6:] = 3.0  # the squares of the steps to come sum up to 16 more
    runs = {"a/run": made_up_run(spread, update_norm=longer)}
    third = [(4**-0.5 + 3**-0.5) / 2, (20**-0.5 + 19**-0.5) / 2]
    assert judged("seed_spread", ["a/run"], [0, 1], runs)["null_model"] == pytest.approx(
        np.std(third, ddof=1) / np.mean(third)
    )

    runs = {
        "a/long": made_up_run(epochs(0.9, 0.2, 0.4, 0.9, seeds=3)),
        "a/short": made_up_run(epochs(0.1, 0.5, 0.7, 0.9, seeds=2)),
    }
    found = judged("budget_ratio", ["a/long", "a/short"], [0, 1], runs)
    assert found["measured"] == pytest.approx((0.2 + 0.4) / (0.5 + 0.7))
    assert found["null_model"] == pytest.approx(1.0)


def test_short_runs_leave_their_claims_undecided() -> None:
    cosine = np.full((2, 8), 0.5)
    for epochs_of_run in (1, 2):
        run = made_up_run(cosine)
        run.notes["steps_per_epoch"] = 8 // epochs_of_run
        for measure in ("epoch_range", "seed_spread"):
            found = judged(measure, ["a/run"], [0, 2], {"a/run": run})
            undecided = measure == "epoch_range" or epochs_of_run == 1
            assert np.isnan(found["measured"]) == undecided
            assert (found["verdict"] == "inconclusive") == undecided


def test_distances_are_those_from_start_to_end() -> None:
    ones = np.ones((1, 8))
    far = np.stack([np.linspace(6, 1, 8)])[:, None]
    runs = {
        "a/far": made_up_run(ones, update=3.0, distance=far),
        "a/near": made_up_run(ones, update=2.0, distance=far / 3),
    }
    found = judged("distance_ratio", ["a/far", "a/near"], [2, 4], runs)
    assert found["measured"] == pytest.approx(3.0)
    assert found["null_model"] == pytest.approx(1.5)


def test_a_late_rise_is_from_the_second_quarter_to_the_fourth() -> None:
    quarters = np.repeat([0.9, 0.1, 0.9, 0.4, 5.0], [3, 3, 3, 3, 4])[None]  # and the last epoch
    found = judged("late_rise", ["a/run", "rsi"], [3, 5], {"a/run": made_up_run(quarters)})
    assert found["measured"] == pytest.approx(4.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_schedule_is_compared_with_the_locally_optimal_rate(sign: int) -> None:
    cosine = epochs(0.3, 0.6, 0.4, 0.1)
    rates = 2 + sign * epochs(0.3, 0.6, 0.4, -9.0)
    runs = {"a/run": made_up_run(cosine, learning_rate=rates)}
    found = judged("schedule_correlation", ["a/run"], [-1, 1], runs)
    assert found["measured"] == pytest.approx(sign)


def test_exponents_are_those_of_power_laws() -> None:
    runs = {
        f"a/{size}": made_up_run(np.full((2, 8), 0.1 * size**0.3), batch_size=size)
        for size in (4, 16, 64)
    }
    found = judged("batch_size_exponent", list(runs), [0, 1], runs)
    assert found["measured"] == pytest.approx(0.3)
    probes = pd.DataFrame({"probe": "train", "batch_size": [4, 16, 64, 256]})
    probes["cosine"] = 0.01 * probes["batch_size"] ** 0.5
    # Epochs have two steps: probes of the first and of the last one do not count.
    skewed = probes.assign(cosine=1.0)
    probes = pd.concat(
        [skewed.assign(iteration=1), probes.assign(iteration=2), skewed.assign(iteration=6)]
    )
    probes = pd.concat([probes.assign(run="4"), skewed.assign(iteration=2, run="another")])
    measured = geometry_claims.probe_exponent(["a/4", 16, "largest"], runs, probes).values
    assert measured[0] == pytest.approx(0.5)
    early = skewed.assign(iteration=1, run="4")
    with pytest.raises(ValueError, match="in its first or last epoch"):
        geometry_claims.probe_exponent(["a/4", 16, "largest"], runs, early)
    with pytest.raises(ValueError, match="a/16 has no probes"):
        geometry_claims.probe_exponent(["a/16", 16, "largest"], runs, probes)


def test_claims_about_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="names the measure"):
        judged("beauty", ["a/b"], [0, 1], {})
    with pytest.raises(ValueError, match="not among the recorded runs"):
        judged("negative_fraction", ["a/b"], [0, 1], {})
    assert math.isnan(geometry_claims.Measurement(np.array([1.0])).null)
