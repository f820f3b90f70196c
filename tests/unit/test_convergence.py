"""What becomes of an ordering, on made-up searches whose answer is known."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import judge_convergence
import plot_convergence
from topography import storage
from topography.figures import convergence as figure
from topography.figures import style
from topography.jobs import command_line
from topography.report import agreement_page, claims, convergence

RUNS = 6
PAIRS = np.array(np.triu_indices(RUNS, k=1)).T
STEPS = [100, 200, 400]
TERMS = {"fcp": 20}  # of the first measurement


def search(heights: list[float], end: float = 0.01, runs: int = RUNS, spread: float = 0.02):
    """Searches with 10 and 20 terms through the same heights, which differ a little by pair."""
    pairs = PAIRS[(runs > PAIRS).all(axis=1)]
    generator = np.random.default_rng(0)
    rows = []
    for number, (i, j) in enumerate(pairs):
        factor = 1 + spread * generator.standard_normal()
        for terms in (10, 20):
            for steps, height in zip(STEPS, heights, strict=False):
                settled = int(steps == STEPS[len(heights) - 1] and len(heights) < len(STEPS))
                top = end + (height - end) * factor
                rows.append([number, i, j, terms, steps, end, end / 2, top, settled])
    return pd.DataFrame(rows, columns=list(convergence.COLUMNS))


def read(folder: Path, **tables: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Searches of fcp as the files hold them."""
    files = []
    for name, table in tables.items():
        files.append(folder / "fcp" / f"{name}.csv")
        storage.write_table(files[-1], table)
    return convergence.read_searches(files)


@pytest.mark.parametrize(
    ("lbfgs", "sgd", "expected"),
    [
        pytest.param([1.0, 0.8, 0.7], [0.5, 0.3, 0.2], convergence.SURVIVES, id="survives"),
        pytest.param([0.5, 0.3, 0.2], [1.0, 0.8, 0.7], convergence.SURVIVES, id="other side"),
        pytest.param([1.0, 0.3, 0.1], [0.5, 0.4, 0.3], convergence.REVERSES, id="reverses"),
        pytest.param([1.0, 0.3, 0.0102], [0.5, 0.3, 0.0101], convergence.VANISHES, id="vanishes"),
        pytest.param([1.0, 0.8, 0.7], [1.0, 0.3, 0.2], claims.INCONCLUSIVE, id="none at first"),
    ],
)
def test_orderings_with_a_known_answer(tmp_path, lbfgs, sgd, expected):
    searches = read(tmp_path, lbfgs_train=search(lbfgs), sgd_train=search(sgd))
    table = convergence.orderings(searches, TERMS)
    assert table["measure"].tolist() == ["fine_height", "barrier"]
    so_far = "" if expected == claims.INCONCLUSIVE else convergence.SO_FAR  # none has settled
    assert set(table["verdict"]) == {expected + so_far}
    assert set(table["weights"]) == {"train"}
    for row in table.itertuples():
        assert (row.terms, row.steps, row.runs, row.pairs) == (20, 100, RUNS, len(PAIRS))
        assert row.first == pytest.approx(lbfgs[0] - sgd[0], abs=0.02)
        assert row.converged == pytest.approx(lbfgs[-1] - sgd[-1], abs=0.02)
        assert row.first_low <= row.first <= row.first_high
        assert row.first_probability == (1 + np.sign(lbfgs[0] - sgd[0])) / 2


def test_a_common_height_without_barriers_leaves_heights_apart_and_barriers_equal(tmp_path):
    """Ends of different loss: the ordering of heights survives where no barrier is left."""
    lbfgs, sgd = search([1.0, 0.4, 0.3], end=0.3), search([0.5, 0.2, 0.1], end=0.1)
    table = convergence.orderings(read(tmp_path, lbfgs_test=lbfgs, sgd_test=sgd), TERMS)
    expected = [convergence.SURVIVES, convergence.VANISHES]
    assert table["verdict"].tolist() == [answer + convergence.SO_FAR for answer in expected]
    assert table["converged"].tolist() == pytest.approx([0.2, 0.0])


@pytest.mark.parametrize(("unsettled", "so_far"), [(0, ""), (1, ""), (2, convergence.SO_FAR)])
def test_a_verdict_is_final_when_nine_in_ten_paths_of_each_optimizer_have_settled(
    tmp_path, unsettled, so_far
):
    """15 pairs each."""
    lbfgs, sgd = search([1.0, 0.8, 0.7]), search([0.5, 0.3, 0.2])
    for table in (lbfgs, sgd):
        table.loc[table["steps"] == STEPS[-1], "settled"] = 1
    sgd.loc[sgd["pair"] < unsettled, "settled"] = 0
    table = convergence.orderings(read(tmp_path, lbfgs_train=lbfgs, sgd_train=sgd), TERMS)
    assert set(table["verdict"]) == {convergence.SURVIVES + so_far}


def test_the_lowest_path_counts_whatever_its_effort(tmp_path):
    lbfgs = search([1.0, 0.8, 0.9], spread=0)
    lbfgs.loc[(lbfgs["terms"] == 20) & (lbfgs["steps"] == 200), "fine_height"] = 0.6
    table = convergence.orderings(
        read(tmp_path, lbfgs_train=lbfgs, sgd_train=search([0.5, 0.3, 0.2], spread=0)), TERMS
    )
    assert table.loc[0, "converged"] == pytest.approx(0.4)


@pytest.mark.parametrize(("terms", "first"), [(10, 0.3), (20, 0.5), (15, 0.5)])
def test_the_first_measurement_has_the_terms_of_figure_4_or_else_the_most(tmp_path, terms, first):
    lbfgs = search([1.0, 0.8, 0.7], spread=0)
    lbfgs.loc[(lbfgs["terms"] == 10) & (lbfgs["steps"] == 100), "fine_height"] = 0.8
    searches = read(tmp_path, lbfgs_train=lbfgs, sgd_train=search([0.5, 0.3, 0.2], spread=0))
    row = convergence.orderings(searches, {"fcp": terms}).iloc[0]
    assert row["first"] == pytest.approx(first)


def test_sets_of_one_optimizer_have_no_ordering(tmp_path):
    table = convergence.orderings(read(tmp_path, sgd_train=search([0.5, 0.3])), TERMS)
    storage.write_table(tmp_path / "none.csv", table)
    again = storage.read_table(tmp_path / "none.csv")
    assert len(again) == 0 and convergence.sentences(again) == []


def test_few_runs_decide_nothing(tmp_path):
    few = {"runs": 3}
    searches = read(
        tmp_path,
        lbfgs_train=search([1.0, 0.8, 0.7], **few),
        sgd_train=search([0.5, 0.3, 0.2], **few),
    )
    table = convergence.orderings(searches, TERMS)
    assert set(table["verdict"]) == {claims.INCONCLUSIVE}
    assert table["converged_low"].isna().all()
    assert convergence.efforts(searches)["fine_height_low"].isna().all()


def test_three_pairs_decide_nothing_however_many_runs_they_join(tmp_path):
    tables = {}
    for name, heights in (("lbfgs_train", [1.0, 0.8, 0.7]), ("sgd_train", [0.5, 0.3, 0.2])):
        table = search(heights)
        tables[name] = table[table["pair"].isin([0, 9, 14])]  # (0, 1), (2, 3), (4, 5)
        assert np.unique(tables[name][["i", "j"]]).tolist() == list(range(RUNS))
    searches = read(tmp_path, **tables)
    assert set(convergence.orderings(searches, TERMS)["verdict"]) == {claims.INCONCLUSIVE}
    assert convergence.efforts(searches)["fine_height_low"].isna().all()


def test_intervals_are_those_of_runs_drawn_one_by_one(tmp_path):
    """A plain bootstrap: draw runs, and take every pair of two different drawn ones."""
    table = search([1.0], spread=0.2)
    table["fine_height"] += 0.3 * (table["i"] == 0)  # a run that raises all its pairs
    row = convergence.efforts(read(tmp_path, sgd_train=table)).iloc[0]
    heights = table[table["terms"] == 10].set_index(["i", "j"])["fine_height"].to_dict()
    generator = np.random.default_rng(3)
    means = []
    for drawn in generator.integers(RUNS, size=(2000, RUNS)):
        pairs = [heights[tuple(sorted(drawn[pair]))] for pair in PAIRS if np.ptp(drawn[pair])]
        means.append(np.mean(pairs))
    low, high = claims.interval(np.array(means), RUNS)
    width = high - low
    assert row["fine_height_low"] == pytest.approx(low, abs=0.1 * width)
    assert row["fine_height_high"] == pytest.approx(high, abs=0.1 * width)


def test_a_settled_path_keeps_its_last_height(tmp_path):
    table = search([1.0, 0.8, 0.6], spread=0)
    early = (table["pair"] == 0) & (table["steps"] == 400)
    efforts = convergence.efforts(read(tmp_path, sgd_train=table[~early]))
    last = efforts[efforts["steps"] == 400]
    pairs = len(PAIRS)
    assert last["fine_height"].tolist() == pytest.approx([0.6 + 0.2 / pairs] * 2)
    assert last["searched_on"].tolist() == [pairs - 1] * 2
    assert last["barrier"].tolist() == pytest.approx([0.59 + 0.2 / pairs] * 2)


@pytest.mark.parametrize(
    ("first", "converged", "expected"),
    [
        ((1, 0.5, 1.5), (0.3, 0.11, 0.5), convergence.SURVIVES),
        ((1, 0.5, 1.5), (0.05, 0.01, 0.09), convergence.VANISHES),
        ((1, 0.5, 1.5), (0.1, 0.01, 0.5), convergence.SURVIVES),
        ((1, 0.5, 1.5), (0.1, -0.01, 0.5), claims.INCONCLUSIVE),
        ((1, 0.5, 1.5), (-0.3, -0.5, -0.11), convergence.REVERSES),
        ((-1, -1.5, -0.5), (-0.3, -0.5, -0.11), convergence.SURVIVES),
        ((-1, -1.5, -0.5), (0.3, 0.11, 0.5), convergence.REVERSES),
        ((1, -0.1, 1.5), (0.3, 0.11, 0.5), claims.INCONCLUSIVE),
        ((1, np.nan, np.nan), (0.3, np.nan, np.nan), claims.INCONCLUSIVE),
    ],
)
def test_verdicts(first, converged, expected):
    assert convergence.verdict(first, converged) == expected


def test_a_sentence_says_what_became_of_the_ordering_and_what_had_settled(tmp_path):
    searches = read(
        tmp_path,
        lbfgs_train=search([1.0, 0.2], spread=0),
        sgd_train=search([0.5, 0.3, 0.3], spread=0),
    )
    table = convergence.orderings(searches, TERMS)
    (sentence,) = convergence.sentences(table)
    assert sentence == (
        "FCP, train weights: SGD is lower in heights and in barriers above the ends at first, "
        "which reverses so far. Of 15 pairs of 6 networks of each optimizer, 0 % (SGD) and 100 % "
        "(L-BFGS) have settled."
    )
    table.loc[table["measure"] == "barrier", "first"] *= -1
    (sentence,) = convergence.sentences(table)
    assert (
        "SGD is lower in heights at first, which reverses so far; SGD is higher in barriers above "
        "the ends at first, which reverses so far. "
    ) in sentence
    table.loc[table["measure"] == "barrier", "verdict"] = claims.INCONCLUSIVE
    (sentence,) = convergence.sentences(table)
    assert "at first, which reverses so far; inconclusive in barriers above the ends. " in sentence


def test_a_loss_that_is_not_finite_is_refused(tmp_path):
    table = search([1.0, 0.8, 0.7])
    table.loc[3, "fine_height"] = np.inf
    with pytest.raises(convergence.ConvergenceError, match=r"sgd_train\.csv has a loss"):
        read(tmp_path, sgd_train=table)


def test_the_figure_has_looks_for_any_number_of_terms(tmp_path):
    table = search([1.0, 0.8, 0.6])
    few = table[table["terms"] == 10]
    searches = read(
        tmp_path, sgd_train=pd.concat([few.assign(terms=terms) for terms in range(1, 7)])
    )
    legend = figure.draw(convergence.efforts(searches)).legends[0]
    assert "6 terms" in [text.get_text() for text in legend.texts]


def test_the_figure_shows_heights_their_bands_and_the_first_measurement(tmp_path):
    heights = {"lbfgs_train": [1.0, 0.8, 0.7], "sgd_train": [0.5, 0.3, 0.2]}
    searches = read(tmp_path, **{name: search(levels) for name, levels in heights.items()})
    numbers = convergence.efforts(searches)
    (axes,) = figure.draw(numbers).axes
    groups = [line for _, line in numbers.groupby(["set", "terms"], sort=False)]
    assert len(axes.collections) == len(groups) > 1
    for drawn, band, line in zip(axes.lines, axes.collections, groups, strict=False):
        np.testing.assert_array_equal(drawn.get_xdata(), line["steps"])
        np.testing.assert_array_equal(drawn.get_ydata(), line["fine_height"])
        edge = band.get_paths()[0].vertices[:, 1]
        assert edge.min() == line["fine_height_low"].min()
        assert edge.max() == line["fine_height_high"].max()
    (dotted,) = (line for line in axes.lines if line.get_color() == style.FAINT)
    assert list(dotted.get_xdata()) == [numbers["steps"].min()] * 2


def test_the_figure_marks_the_ends_that_are_not_far_below_all_heights(tmp_path):
    searches = read(
        tmp_path,
        lbfgs_test=search([1.0, 0.8, 0.6]).assign(start_loss=0.6, end_loss=0.2),
        lbfgs_train=search([1.0, 0.8, 0.6]).assign(start_loss=1e-8, end_loss=2e-8),
    )
    (axes,) = figure.draw(convergence.efforts(searches)).axes
    level = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert level == pytest.approx([0.6])
    assert axes.get_ylim()[0] > 0.1


def test_the_commands_make_tables_a_figure_and_a_section_of_the_report(tmp_path, monkeypatch):
    read(
        tmp_path,
        lbfgs_train=search([1.0, 0.8, 0.7]),
        sgd_train=search([0.5, 0.3]),
    )
    searches = [tmp_path / "fcp" / f"{name}_train.csv" for name in ("lbfgs", "sgd")]
    efforts, orderings = tmp_path / "efforts.csv", tmp_path / "orderings.csv"

    def command(main, *arguments):
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        command_line.run(main)

    command(
        judge_convergence.main,
        *["--searches", *searches, "--terms", '{"fcp": 10}'],
        *["--efforts", efforts, "--orderings", orderings],
    )
    stem = tmp_path / "fig4_converged"
    scale = ["--scale", "mine", "--dataset", "mnist"]
    command(plot_convergence.main, "--efforts", efforts, *scale, "--output-stem", stem)
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(stem.with_suffix(".csv"))) == 2 * 2 * 2 + 2  # sets, terms, steps
    verdicts = pd.DataFrame(columns=["settings", "verdict", "claim", "figure", "fitted"])
    facts = {"scale": "mine", "dataset": "mnist", "cuts": {}}
    table = storage.read_table(orderings)
    page = agreement_page.html(verdicts, {stem.name: stem.with_suffix(".png")}, facts, table)
    text = agreement_page.markdown(verdicts, facts, table)
    for report in (page, text):
        assert agreement_page.CONVERGED_HEADING in report
        assert "at first, which survives so far. Of " in report
    assert re.search(
        r"^\| FCP \| train \| heights \| 0\.\d+ \[.*\| survives so far \|$", text, re.M
    )
    assert 'id="fig4_converged"' in page
    assert agreement_page.CONVERGED_HEADING not in agreement_page.html(
        verdicts, {}, facts, table.head(0)
    )
