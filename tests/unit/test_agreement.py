"""Verdicts on made-up results whose truth is known, and the pages that show them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

import judge_agreement
from support.clones import REPOSITORY
from topography import storage
from topography.analysis import weight_statistics
from topography.jobs import command_line
from topography.report import agreement, agreement_page, claims, convergence, measures
from topography.workflow import configuration, configuration_checks

CLAIMS = REPOSITORY / "config/claims.yaml"
CONTENT = claims.read_claims(CLAIMS, agreement.REQUIRED, agreement.OPTIONAL)
SETTINGS = {"fcp": {"dataset": "mnist", "training": {"seeds": 75}}}
GROUPS = {"training": {"dataset": "mnist", "training": {"seeds": 75}}}
RUNS = 8
PAIRS = np.triu_indices(RUNS, k=1)


def results(projected: int = 48, **changes) -> measures.Results:
    """Eight runs of each optimizer, L-BFGS with lower losses, longer vectors, higher barriers.

    projected: networks of each set that stand in the table of projections.
    """
    generator = np.random.default_rng(0)
    seeds = np.arange(RUNS)
    scale = {"lbfgs": 0.1, "sgd": 1.0}
    selections = {
        ("fcp", name): pd.DataFrame(
            {
                "seed": seeds,
                "train_loss": factor * (1 + 0.1 * generator.random(RUNS)),
                "test_loss": 1 + 0.1 * generator.random(RUNS),
                "rank": np.arange(RUNS) + 1,
                "kept": True,
            }
        )
        for name, factor in scale.items()
    }
    lengths = {"lbfgs_train": 10 + seeds, "lbfgs_test": 8 + seeds, "sgd_test": 1 + seeds / 10}
    barriers = {"lbfgs_train": 5.0, "sgd_train": 1.0}
    given = {
        "selections": selections,
        "histories": {
            ("fcp", "lbfgs"): pd.DataFrame(
                {
                    "seed": np.repeat(seeds, 3),
                    "epoch": np.tile(np.arange(3), RUNS),
                    "test_loss": np.tile([4.0, 1.0, 3.0], RUNS),
                }
            )
        },
        "moments": {
            ("fcp", "lbfgs_train"): np.stack([np.zeros(RUNS), 4 + 0.1 * generator.random(RUNS)], 1),
            ("fcp", "sgd_train"): np.stack([np.zeros(RUNS), np.ones(RUNS)], 1),
        },
        "lengths": {
            "fcp": pd.concat(
                [
                    pd.DataFrame({"set": name, "seed": seeds, "length": values})
                    for name, values in lengths.items()
                ]
            )
        },
        "products": products(np.zeros((RUNS, 2)), np.tile([0.0, 2.0], (RUNS, 1))),
        "projections": {
            "fcp": pd.concat(
                [
                    pd.DataFrame(
                        {
                            "comparison": "lbfgs_train-sgd_test",
                            "kernel": kernel,
                            "set": name,
                            "seed": range(projected),
                            "pc1": offset * clear + 0.1 * generator.random(projected),
                            "pc2": generator.random(projected),
                        }
                    )
                    for kernel, clear in (("rbf", 1), ("linear", 0), ("sigmoid", 0.03))
                    for name, offset in (("lbfgs_train", -1), ("sgd_test", 1))
                ]
            )
        },
        "barriers": {
            ("train", "fcp", name): pd.DataFrame(
                {
                    "i": PAIRS[0],
                    "j": PAIRS[1],
                    "height": height + generator.random(len(PAIRS[0])),
                    "barrier": 0.0,
                }
            )
            for name, height in barriers.items()
        },
        "paths_2d": pd.DataFrame(
            {
                "path": np.repeat(["straight", "penalty_10", "penalty_100"], 2),
                "penalty": np.repeat([np.nan, 10, 100], 2),
                "x": [0.0, 1.0, 0.0, 3.0, 0.0, 2.0],
                "y": [0.0, 0.0, 0.0, 4.0, 0.0, 0.0],
                "loss": [0.0, 2.0, 1.0, 0.5, 0.5, 1.5],
            }
        ),
    }
    return measures.Results(**{**given, **changes})


def products(lbfgs: np.ndarray, sgd: np.ndarray) -> dict[tuple[str, str, str], np.ndarray]:
    """Of networks [n, P] of both optimizers, from the same seeds."""
    return {
        ("fcp", "lbfgs_test", "lbfgs_test"): lbfgs @ lbfgs.T,
        ("fcp", "lbfgs_test", "sgd_test"): lbfgs @ sgd.T,
        ("fcp", "sgd_test", "sgd_test"): sgd @ sgd.T,
    }


def claim(measure: str, of, **more) -> dict:
    """A claim about fcp with what does not matter filled in."""
    given = {"id": measure, "where": "here", "statement": "says", "why": "because"}
    scope = {} if "published" in more else {"range": [0.5, 1], "architectures": ["fcp"]}
    return {**given, **scope, "measure": measure, "of": of, "needs": ["training"], **more}


def judged(*chosen: dict, settings=SETTINGS, measured=None) -> pd.DataFrame:
    content = {"claims": list(chosen), "settings": GROUPS}
    return agreement.judge(content, measured or results(), settings)


@pytest.mark.parametrize("distance", [0.0, 0.4])
def test_few_networks_do_not_put_their_centroids_apart(distance):
    """Unit vectors about two centroids; those of one seed share a start. Apart by chance: 0.35."""
    generator = np.random.default_rng(0)
    starts, first, second = generator.normal(size=(3, RUNS, 20_000)) / np.sqrt(20_000)
    direction = np.eye(20_000)[0]
    lbfgs = 0.7 * (starts + first)
    sgd = 0.7 * (starts + second) + distance * direction
    apart = np.linalg.norm(lbfgs.mean(axis=0) - sgd.mean(axis=0))
    assert apart > distance + 0.1
    lengths = pd.DataFrame(
        {
            "set": np.repeat(["lbfgs_train", "sgd_test"], RUNS),
            "seed": np.tile(np.arange(RUNS), 2),
            "length": 1.0,
        }
    )
    given = results(products=products(lbfgs, sgd), lengths={"fcp": lengths})
    row = judged(claim("centroid_distance", ["lbfgs_train", "sgd_test"]), measured=given).iloc[0]
    assert row["ours"] == pytest.approx(distance, abs=0.05)
    assert row["interval_low"] <= distance <= row["interval_high"]


@pytest.mark.parametrize(
    ("measure", "of", "expected"),
    [
        ("lower_barriers", ["train", "sgd_train", "lbfgs_train"], 1.0),
        ("lower_barriers", ["train", "lbfgs_train", "sgd_train"], 0.0),
        ("longer_vectors", ["lbfgs_train", "sgd_test"], 1.0),
        ("length_gap", [["lbfgs_test", "sgd_test"], ["lbfgs_train", "sgd_test"]], 10.15 / 12.15),
        ("separation", ["lbfgs_train-sgd_test", "rbf", "pc1"], 1.0),
        ("late_rise", "lbfgs", 3.0),
        ("centroid_distance", ["lbfgs_train", "sgd_test"], 2 / ((13.5 + 1.35) / 2)),
        ("height_2d", "straight", 2.0),
        ("height_2d", 10, 1.0),
        ("step_ratio_2d", [10, 100], 2.5),
        ("height_range_2d", [10, 100], 0.4),
    ],
)
def test_measures_of_results_with_a_known_answer(measure, of, expected):
    row = judged(claim(measure, of)).iloc[0]
    assert row["ours"] == pytest.approx(expected)
    assert row["verdict"] == (
        claims.AGREES if 0.5 <= row["interval_low"] <= row["interval_high"] <= 1 else claims.DIFFERS
    )


def test_the_advantage_of_a_kernel_is_over_the_best_of_the_others():
    comparison, others = "lbfgs_train-sgd_test", ["linear", "sigmoid"]
    rows = judged(
        claim("separation_advantage", [comparison, "rbf", others]),
        *(claim("separation", [comparison, kernel, "pc1"], id=kernel) for kernel in others),
    ).set_index("id")["ours"]
    assert 0.5 <= rows["linear"] < rows["sigmoid"] < 1
    assert rows["separation_advantage"] == pytest.approx(1 - rows["sigmoid"])


def test_separations_are_judged_by_as_many_networks_as_the_paper_has():
    comparison = "lbfgs_train-sgd_test"
    separated = (
        claim("separation", [comparison, "rbf", "pc1"], id="separation"),
        claim("separation_advantage", [comparison, "rbf", ["linear"]], id="advantage"),
        claim("separation_difference", [comparison, "rbf"], id="difference"),
    )
    enough = judged(*separated)
    assert (enough["runs"] == 48).all()
    assert enough["interval_low"].notna().all()
    few = judged(*separated, measured=results(projected=47))
    assert (few["runs"] == 47).all()
    assert (few["verdict"] == claims.INCONCLUSIVE).all()
    assert few["note"].str.startswith("fewer than 48 runs").all()


def test_separation_is_compared_between_the_first_two_components():
    of = ["lbfgs_train-sgd_test", "rbf"]
    rows = judged(
        claim("separation_difference", of),
        *(claim("separation", [*of, name], id=name) for name in ("pc1", "pc2")),
    ).set_index("id")["ours"]
    assert rows["pc1"] == 1 and 0.5 <= rows["pc2"] < 1
    assert rows["separation_difference"] == pytest.approx(1 - rows["pc2"])


def test_beside_heights_stand_barriers_above_the_ends():
    chosen = claim("lower_barriers", ["train", "sgd_train", "lbfgs_train"])
    assert judged(chosen)["beside"].tolist() == ["above the ends 0.5 [0.5, 0.5]"]
    table = judged(chosen, PUBLISHED)
    assert table["beside"].tolist()[1] == ""
    assert "above the ends 0.5" in agreement_page.markdown(table, FACTS, NO_ORDERINGS)


def test_numbers_that_settings_were_chosen_by_are_told_apart():
    table = judged({**PUBLISHED, "fitted": True}, {**PUBLISHED, "id": "other"})
    assert table["fitted"].tolist() == [True, False]
    assert agreement_page.tallies(table)[claims.AGREES] == "agrees: 2 (1 fitted)"
    assert "| agrees (fitted) |" in agreement_page.markdown(table, FACTS, NO_ORDERINGS)
    assert "agrees: 2 (1 fitted)" in agreement_page.html(table, {}, FACTS, NO_ORDERINGS)


def test_both_pages_say_why_a_row_is_undecided_and_which_settings_are_cut():
    few = claim("separation", ["lbfgs_train-sgd_test", "rbf", "pc1"])
    table = judged(few, measured=results(projected=5))
    facts = {**FACTS, "cuts": {"FCP": ["training.seeds is 8, not 75"]}}
    markdown = agreement_page.markdown(table, facts, NO_ORDERINGS)
    page = agreement_page.html(table, {}, facts, NO_ORDERINGS)
    reason = "fewer than 48 runs a side (or pairs of runs)"
    assert f"inconclusive ({reason}) |" in markdown
    assert f"<small>{reason}</small>" in page
    assert "- FCP: training.seeds is 8, not 75" in markdown
    # A number that is not compared because of its settings does not list them once more.
    cut = judged(PUBLISHED).assign(
        settings=agreement.CUT, verdict=claims.NOT_COMPARABLE, note="training.seeds is 8, not 75"
    )
    assert agreement_page.markdown(cut, facts, NO_ORDERINGS).count("not 75") == 1


def test_the_range_of_a_number_has_a_digit_more_than_the_number():
    row = judged({**PUBLISHED, "published": 1.102, "tolerance": {"absolute": 0.0005}}).iloc[0]
    assert agreement_page.accepted(row) == "(1.1015 to 1.1025)"


@pytest.mark.parametrize("settings", [agreement.ELSEWHERE, agreement.NOT_RUN])
def test_both_pages_say_where_results_are_not_of_this_workflow(settings: str) -> None:
    table = judged(PUBLISHED).assign(settings=settings)
    assert f"({settings}) |" in agreement_page.markdown(table, FACTS, NO_ORDERINGS)
    assert f"<small>{settings}</small>" in agreement_page.html(table, {}, FACTS, NO_ORDERINGS)


def test_measures_of_weights_and_losses_are_those_of_plain_formulas():
    given = results()
    rows = judged(
        claim("mean_loss", "sgd_train"),
        claim("loss_ratio", ["lbfgs_train", "sgd_train"]),
        claim("deviation_ratio", ["lbfgs_train", "sgd_train"]),
    ).set_index("id")
    losses = {name: given.selections["fcp", name]["train_loss"] for name in ("lbfgs", "sgd")}
    assert rows.loc["mean_loss", "ours"] == pytest.approx(losses["sgd"].mean())
    ratio = losses["lbfgs"].mean() / losses["sgd"].mean()
    assert rows.loc["loss_ratio", "ours"] == pytest.approx(ratio)
    assert rows.loc["loss_ratio", "p_value"] < 0.001
    deviation = np.sqrt(given.moments["fcp", "lbfgs_train"][:, 1].mean())
    assert rows.loc["deviation_ratio", "ours"] == pytest.approx(deviation)


def test_pooled_deviation_is_that_of_all_weights_together():
    weights = np.random.default_rng(0).normal(0.3, 2.0, (RUNS, 50))
    moments = weight_statistics.moments_of_runs(weights)
    measured = results(moments={("fcp", "sgd_train"): moments})
    rows = judged(
        claim("weight_deviation", "sgd_train"), claim("weight_mean", "sgd_train"), measured=measured
    )
    assert rows["ours"].tolist() == pytest.approx([weights.std(), weights.mean()])


def test_both_checkpoints_of_an_optimizer_are_resampled_together():
    """A ratio that is the same for every run has no spread, unless others are drawn below it."""
    train = results().moments["fcp", "lbfgs_train"]
    moments = {("fcp", "lbfgs_train"): train, ("fcp", "lbfgs_test"): train / 4}
    moments["fcp", "sgd_test"] = train / 4
    rows = judged(
        claim("deviation_ratio", ["lbfgs_train", "lbfgs_test"], id="same runs"),
        claim("deviation_ratio", ["lbfgs_train", "sgd_test"], id="others"),
        measured=results(moments=moments),
    ).set_index("id")
    widths = rows["interval_high"] - rows["interval_low"]
    assert rows["ours"].tolist() == pytest.approx([2, 2])
    assert widths["same runs"] < 1e-12 < 1e-3 < widths["others"]


PUBLISHED = claim("mean_loss", "sgd_train", published={"fcp": 1.05}, tolerance={"relative": 0.1})


def test_a_published_number_is_compared_under_full_settings_only():
    assert judged(PUBLISHED)["verdict"].tolist() == [claims.AGREES]
    cut = {"fcp": {"dataset": "mnist", "training": {"seeds": 8}}}
    row = judged(PUBLISHED, settings=cut).iloc[0]
    assert row["verdict"] == claims.NOT_COMPARABLE
    assert row["note"] == "training.seeds is 8, not 75"
    assert row["settings"] == agreement.CUT
    assert row["ours"] == pytest.approx(1.05, rel=0.1)  # measured and shown all the same


def test_a_claim_without_a_number_is_judged_on_the_images_of_the_paper_only():
    chosen = claim("lower_barriers", ["train", "sgd_train", "lbfgs_train"])
    cut = {"fcp": {"dataset": "mnist", "training": {"seeds": 8}}}
    row = judged(chosen, settings=cut).iloc[0]
    assert (row["verdict"], row["settings"]) == (claims.AGREES, agreement.CUT)
    other = {"fcp": {"dataset": "digits", "training": {"seeds": 75}}}
    assert judged(chosen, settings=other)["verdict"].tolist() == [claims.NOT_COMPARABLE]


def test_settings_count_for_the_optimizer_they_are_of_and_for_weights_trained_here() -> None:
    groups = {"training": {"optimizers": {"sgd": {"epochs": 75}, "lbfgs": {"iterations": 1000}}}}
    groups["training"] |= {"dataset": "mnist"}
    paper = {"dataset": "mnist"}
    optimizers = {"sgd": {"epochs": 75}, "lbfgs": {"iterations": 150}}

    def found(of, **changes) -> tuple[str, list[str]]:
        settings = {"fcp": {**paper, "optimizers": optimizers, **changes}}
        return agreement._comparability(claim("mean_loss", of), "fcp", settings, groups)

    cut = "optimizers.lbfgs.iterations is 150, not 1000"
    assert found("sgd_train") == (agreement.PAPER, [])
    assert found("lbfgs_train") == (agreement.CUT, [cut])
    assert found(["lbfgs_train", "sgd_train"]) == (agreement.CUT, [cut])
    assert found("lbfgs_train", weights=["lbfgs"]) == (agreement.ELSEWHERE, [])
    assert found("lbfgs_train", weights=["sgd"]) == (agreement.CUT, [cut])
    both = found(["lbfgs_train", "sgd_train"], weights=["sgd"])
    assert both == (agreement.ELSEWHERE, [cut])
    other = found("lbfgs_train", weights=["lbfgs"], dataset="digits")
    assert other == (agreement.ELSEWHERE, ["dataset is digits, not mnist"])


def test_a_setting_of_sgd_that_is_off_unless_given_departs_when_it_is_given():
    expected = CONTENT["settings"]["training"]["optimizers"]["sgd"]
    given = {name: expected[name] for name in ("learning_rate", "batch_size", "epochs")}
    assert agreement.departures(expected, given) == []
    changed = agreement.departures(expected, given | {"momentum": 0.9, "gradient_clip": 1.0})
    assert changed == ["momentum is 0.9, not 0.0", "gradient_clip is 1.0, not null"]


@pytest.mark.parametrize("architecture", ["fcp", "lenet", "autoencoder", "lstm"])
def test_scale_reduced_trains_as_published_numbers_need_it(architecture: str) -> None:
    changes = configuration.load(REPOSITORY / "config/reduced.yaml")
    config = configuration_checks.read(REPOSITORY, changes)
    actual = {
        **configuration.for_architecture(config, architecture),
        "architecture": configuration.architecture_settings(config, architecture),
        "dataset": config["dataset"],
    }
    found = {
        group: agreement.departures(expected, actual)
        for group, expected in CONTENT["settings"].items()
    }
    assert found["training"] == []
    searched = {text.split(" is ")[0] for text in found["paths"]}
    assert searched == {"paths.images_per_step", "paths.steps", "paths.keep"}
    cut = {text.split(" is ")[0] for text in found["sample"]}
    assert cut == {"training.seeds", "selection.keep", "pairs.count"}
    assert not any("sample" in entry["needs"] for entry in CONTENT["claims"])


def test_three_runs_decide_nothing():
    few = results()
    for table in few.selections.values():
        table["kept"] = table["rank"] <= 3
    row = judged(claim("longer_vectors", ["lbfgs_train", "sgd_test"]), measured=few).iloc[0]
    assert row["verdict"] == claims.INCONCLUSIVE
    assert row["note"] == "fewer than 4 runs a side (or pairs of runs)"


def joined(pairs: list[tuple[int, int]], heights: np.ndarray) -> pd.DataFrame:
    """Barriers of some pairs of the runs."""
    table = pd.DataFrame(pairs, columns=["i", "j"])
    return table.assign(height=heights, barrier=heights)


def test_intervals_of_barriers_are_those_of_runs_drawn_one_by_one():
    """A plain bootstrap, of heights that overlap, with 10 pairs of SGD and 6 of L-BFGS."""
    generator = np.random.default_rng(0)
    pairs = {
        "sgd": [(i, j) for i in range(5) for j in range(i + 1, 5)],
        "lbfgs": [(i, j) for i in range(2, 6) for j in range(i + 1, 6)],
    }
    heights = {
        "sgd": generator.normal(size=10),
        "lbfgs": generator.normal(0.7, 1, size=6),
    }
    tables = {name: joined(pairs[name], heights[name]) for name in pairs}
    measured = results(
        barriers={("train", "fcp", f"{name}_train"): table for name, table in tables.items()}
    )
    row = judged(
        claim("lower_barriers", ["train", "sgd_train", "lbfgs_train"]), measured=measured
    ).iloc[0]
    assert row["runs"] == 4  # that the fewer pairs join

    def drawn(name: str) -> np.ndarray:
        """Heights of the pairs of two different runs among as many runs drawn as there are."""
        counts = np.bincount(generator.integers(RUNS, size=RUNS), minlength=RUNS)
        times = [counts[i] * counts[j] for i, j in pairs[name]]
        return np.repeat(heights[name], times)

    chances = []
    while len(chances) < 4000:
        sgd, lbfgs = drawn("sgd"), drawn("lbfgs")
        if len(sgd) and len(lbfgs):
            chances.append((sgd[:, None] < lbfgs).mean())
    low, high = claims.interval(np.array(chances), 4)
    assert row["ours"] == pytest.approx((heights["sgd"][:, None] < heights["lbfgs"]).mean())
    assert row["interval_low"] == pytest.approx(low, abs=0.05)
    assert row["interval_high"] == pytest.approx(high, abs=0.05)


def test_three_pairs_decide_nothing_however_many_runs_they_join():
    tables = {
        ("train", "fcp", name): joined([(0, 1), (2, 3), (4, 5)], np.full(3, height))
        for name, height in (("sgd_train", 1.0), ("lbfgs_train", 2.0))
    }
    chosen = claim("lower_barriers", ["train", "sgd_train", "lbfgs_train"])
    row = judged(chosen, measured=results(barriers=tables)).iloc[0]
    assert (row["ours"], row["verdict"]) == (1.0, claims.INCONCLUSIVE)
    assert "or pairs of runs" in row["note"]


@pytest.mark.parametrize(("runs", "verdict"), [(5, claims.INCONCLUSIVE), (6, claims.AGREES)])
def test_five_runs_do_not_tell_their_own_checkpoints_apart(runs: int, verdict: str):
    pairs = [(i, j) for i in range(runs) for j in range(i + 1, runs)]
    tables = {
        ("train", "fcp", name): joined(pairs, np.full(len(pairs), height))
        for name, height in (("sgd_test", 1.0), ("sgd_train", 2.0))
    }
    chosen = claim("lower_barriers", ["train", "sgd_test", "sgd_train"])
    assert judged(chosen, measured=results(barriers=tables)).iloc[0]["verdict"] == verdict


def test_one_pair_of_many_runs_is_missing_in_most_resamples():
    pairs = [(0, 1), (2, 3), (4, 5), (6, 7)]
    weights = claims.pair_counts(claims.resampled_runs(RUNS, "x"), *np.array(pairs).T)[:, :1]
    few = measures.Measurement(claims.weighted_mean(np.ones(1), weights), 4, "")
    (low, _), note = few.interval()
    assert np.isnan(low) and note == "too few pairs for resamples of the runs"


@pytest.mark.parametrize(
    ("chosen", "note"),
    [
        (claim("lower_barriers", ["test", "sgd_train", "lbfgs_train"]), "not joined on the test"),
        (claim("separation", ["lbfgs_train-sgd_test", "pca", "pc1"]), "kernels lacks pca"),
        (claim("late_rise", "sgd"), "no loss curves"),
        (claim("height_2d", 1000), "penalties lacks 1000"),
        (claim("mean_loss", "sgd_train", architectures=["lstm"]), "not in the configuration"),
    ],
)
def test_what_was_not_measured_is_not_comparable(chosen, note):
    row = judged(chosen).iloc[0]
    assert row["verdict"] == claims.NOT_COMPARABLE
    assert note in row["note"]
    assert (row["settings"] == agreement.NOT_RUN) == ("configuration" in note)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "mean_los"}, "the measure 'mean_los'"),
        ({"needs": ["trainings"]}, "the settings"),
        ({"published": 1.0, "tolerance": {"relative": 1}}, "both or neither"),
        ({"tolerance": {"relative": 1}}, "only one of"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_named(change, message):
    with pytest.raises(claims.ClaimError, match=message):
        judged({**claim("mean_loss", "sgd_train"), **change})


def published() -> dict[tuple[str, str], float]:
    return {
        (entry["id"], architecture): number
        for entry in CONTENT["claims"]
        if isinstance(entry.get("published"), dict)
        for architecture, number in entry["published"].items()
    }


# As printed in the paper.
COLUMNS = (
    *("table1_lbfgs_train", "table1_sgd_train", "table1_lbfgs_test", "table1_sgd_test"),
    *("tableS1_sgd_train_mean", "tableS1_sgd_train_sd"),
    *("tableS1_lbfgs_train_mean", "tableS1_lbfgs_train_sd"),
    *("tableS1_sgd_test_mean", "tableS1_sgd_test_sd"),
    *("tableS1_lbfgs_test_mean", "tableS1_lbfgs_test_sd"),
)
TABLES = """
fcp         1.26e-08 6.21e-04 9.69e-02 8.25e-02
            -1.44e-03 1.39e-01 -2.47e-03 2.34e-01 -3.17e-03 1.03e-01 -4.11e-03 1.22e-01
lenet       3.35e-08 1.76e-05 4.17e-02 3.89e-02
            -3.57e-03 8.77e-02  1.04e-03 1.08e-01 -2.83e-03 7.06e-02  2.33e-04 8.00e-02
autoencoder 1.69e-02 4.57e-02 1.65e-02 4.52e-02
            -7.06e-03 8.54e-02 -3.65e-02 1.60e-01 -7.07e-03 8.54e-02 -3.65e-02 1.61e-01
lstm        1.63e-06 1.35e-02 1.55e-01 1.28e-01
            1.35e-02 3.24e-01 1.06e-02 7.33e-01 1.16e-02 2.59e-01 2.92e-03 4.76e-01
"""


def test_the_file_of_claims_has_every_number_and_claim_of_the_paper():
    texts = iter(TABLES.split())
    expected = {name: [float(next(texts)) for _ in COLUMNS] for name in texts}
    found = {name: [] for name in expected}
    for name, row in found.items():
        for column in COLUMNS:
            own = column.replace("table1", f"table1_{name}")
            (number,) = {published().get((key, name)) for key in (column, own)} - {None}
            row.append(number)
    assert found == expected
    assert len([key for key in published() if key[0].startswith("table")]) == 4 * len(COLUMNS)
    heights = {
        entry["id"]: entry["published"] for entry in CONTENT["claims"] if "fig3" in entry["id"]
    }
    assert sorted(heights.values()) == [0.640, 0.646, 0.652, 1.102]
    assert {entry.get("claim", 0) for entry in CONTENT["claims"]} == set(range(8))
    assert set(agreement_page.HEADINGS) == set(range(1, 8))


def test_the_paper_scale_has_the_settings_that_published_numbers_need():
    config = configuration.merge(
        yaml.safe_load((REPOSITORY / "config.yaml").read_text()),
        yaml.safe_load((REPOSITORY / "config/paper.yaml").read_text()),
    )
    for architecture in config["architectures"]:
        actual = {
            **configuration.for_architecture(config, architecture),
            "architecture": configuration.architecture_settings(config, architecture),
            "dataset": config["dataset"],
            "landscape_2d": config["landscape_2d"],
        }
        for group in CONTENT["settings"].values():
            assert agreement.departures(group, actual) == []


def test_the_claims_of_the_paper_agree_with_the_paper_itself():
    """Ratios that claims state without a number, taken from the published ones."""
    numbers = published()
    found = {name: number for (_, name), number in numbers.items()}
    assert set(found) == {"fcp", "lenet", "autoencoder", "lstm"}

    def value(prefix: str, architecture: str, of: str, suffix: str = "") -> float:
        keys = [f"{prefix}_{of}{suffix}", f"{prefix}_{architecture}_{of}{suffix}"]
        return next(numbers[key, architecture] for key in keys if (key, architecture) in numbers)

    ratios = {"loss_ratio": ("table1", ""), "deviation_ratio": ("tableS1", "_sd")}
    checked = 0
    for entry in CONTENT["claims"]:
        if entry["measure"] in ratios:
            prefix, suffix = ratios[entry["measure"]]
            for architecture in entry["architectures"]:
                first, second = (value(prefix, architecture, of, suffix) for of in entry["of"])
                low, high = entry["range"]
                assert low <= first / second <= high, (entry["id"], architecture)
                checked += 1
    assert checked == 16


FACTS = {"scale": "mine", "dataset": "mnist", "cuts": {}}
NO_ORDERINGS = pd.DataFrame()


def small_table() -> pd.DataFrame:
    return judged(
        PUBLISHED,
        claim("lower_barriers", ["train", "sgd_train", "lbfgs_train"], claim=3, figure="fig4"),
        claim("separation", ["lbfgs_train-sgd_test", "pca", "pc1"], claim=6),
    )


def test_texts_from_outside_cannot_become_html(tmp_path: Path):
    table = small_table().assign(statement="<script>alert(1)</script>")
    png = tmp_path / "fig4.png"
    png.write_bytes(b"\x89PNG")
    facts = {"scale": "<b>", "dataset": "mnist", "cuts": {"fcp": ["a < b"]}}
    page = agreement_page.html(table, {"fig4": png}, facts, NO_ORDERINGS)
    assert "<script>alert" not in page and "<b>" not in page
    assert "data:image/png;base64,iVBORw==" in page
    assert "http://" not in page and "https://" not in page


def test_numbers_are_short():
    row = SimpleNamespace(interval_low=0.12345, interval_high=2.0, method=measures.OVER_RUNS)
    assert agreement_page.interval(row) == "[0.123, 2]"
    certain = SimpleNamespace(interval_low=1.0, interval_high=1.0, method=measures.OVER_RUNS)
    assert agreement_page.interval(certain) == "[1, 1]"
    fixed = SimpleNamespace(interval_low=1.0, interval_high=1.0, method=measures.NOTHING_RANDOM)
    assert agreement_page.interval(fixed) == ""
    assert agreement_page.short(np.nan) == "–"
    missing = SimpleNamespace(interval_low=np.nan, interval_high=np.nan)
    assert agreement_page.interval(missing) == ""


@pytest.mark.parametrize("digits", [3, 4])
def test_numbers_fit_into_the_columns_of_a_phone(digits: int):
    for exponent in range(-12, 13):
        for mantissa in (-9.99999999, -1.60944, 1.23456789, 9.994):
            value = mantissa * 10.0**exponent
            text = agreement_page.short(value, digits)
            assert len(text) <= 9
            assert float(text) == pytest.approx(value, rel=5e-3)
    assert agreement_page.short(-0.0001609) == "-1.61e-4"
    assert agreement_page.short(0.0454) == "0.0454"
    assert agreement_page.short(0.0) == "0"


def test_results_are_read_in_the_order_of_ranks(tmp_path: Path) -> None:
    """Of networks whose ranks are not in the order of their seeds."""
    generator = np.random.default_rng(5)
    seeds = {"lbfgs": [3, 0, 2, 1], "sgd": [1, 3, 0, 2]}  # best first
    weights = {name: generator.normal(size=(4, 6)).astype(np.float32) for name in seeds}
    weights["sgd"] += 2
    given = results()
    files = {"selections": [], "sets": []}
    lengths = []
    for name, order in seeds.items():
        selection = pd.DataFrame({"seed": order, "rank": [1, 2, 3, 4], "kept": True})
        selection[["train_loss", "test_loss"]] = 1.0
        files["selections"].append(tmp_path / f"selection/fcp/{name}.csv")
        storage.write_table(files["selections"][-1], selection.sort_values("seed"))
        files["sets"].append(tmp_path / f"sets/fcp/{name}_test.safetensors")
        content = {"weights": weights[name], "seeds": np.array(order)}
        storage.write_tensors(files["sets"][-1], content)
        lengths += [(f"{name}_test", seed, 2.0) for seed in order]
    files["lengths"] = [tmp_path / "lengths/fcp.csv"]
    storage.write_table(
        files["lengths"][0], pd.DataFrame(lengths, columns=["set", "seed", "length"])
    )
    storage.write_table(tmp_path / "fig3.csv", given.paths_2d)
    read = measures.read_results(
        **files, histories=[], projections=[], barriers=[], paths_2d=tmp_path / "fig3.csv"
    )
    found = measures.centroid_distance(read, "fcp", ["lbfgs_test", "sgd_test"]).values[0]

    def mean_product(first: str, second: str) -> float:
        return np.mean(
            [
                np.dot(weights[first][i].astype(float), weights[second][j].astype(float))
                for i, seed in enumerate(seeds[first])
                for j, other in enumerate(seeds[second])
                if seed != other
            ]
        )

    squared = (
        mean_product("lbfgs", "lbfgs")
        + mean_product("sgd", "sgd")
        - 2 * mean_product("lbfgs", "sgd")
    )
    assert squared > 0
    assert found == pytest.approx(np.sqrt(squared) / 2)


def test_the_command_writes_verdicts_that_can_be_read_back(tmp_path: Path, monkeypatch):
    given = results()
    files = {"selections": [], "barriers": []}
    for (architecture, optimizer), table in given.selections.items():
        files["selections"].append(tmp_path / "selection" / architecture / f"{optimizer}.csv")
        storage.write_table(files["selections"][-1], table)
    for (landscape, architecture, name), table in given.barriers.items():
        path = tmp_path / "barriers" / landscape / architecture / f"{name}.csv"
        files["barriers"].append(path)
        storage.write_table(path, table)
    storage.write_table(tmp_path / "fig3.csv", given.paths_2d)
    chosen = [claim("lower_barriers", ["train", "sgd_train", "lbfgs_train"], claim=3), PUBLISHED]
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump({"claims": chosen, "settings": GROUPS}))
    outputs = {suffix: tmp_path / f"agreement.{suffix}" for suffix in ("csv", "markdown", "html")}
    storage.write_table(tmp_path / "orderings.csv", convergence.orderings({}, {}))
    arguments = ["--claims", file, "--paths-2d", tmp_path / "fig3.csv"]
    arguments += ["--orderings", tmp_path / "orderings.csv"]
    arguments += [
        *["--selections", *files["selections"], "--barriers", *files["barriers"]],
        *["--settings", json.dumps(SETTINGS), "--scale", "mine", "--dataset", "mnist"],
        *[part for suffix, path in outputs.items() for part in (f"--{suffix}", path)],
    ]
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    command_line.run(judge_agreement.main)
    table = storage.read_table(outputs["csv"])
    assert table["verdict"].tolist() == [claims.AGREES, claims.AGREES]
    assert "agrees: 2" in outputs["markdown"].read_text()
    assert "mine" in outputs["html"].read_text()
