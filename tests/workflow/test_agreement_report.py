"""The report on agreement with the paper: made by the workflow, looked at with a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from support.clones import REPOSITORY, SMOKE, Workflow
from support.headless_browser import Browser, browser

pytestmark = pytest.mark.slow

TARGET = "results/agreement.html"
PHONES = ((390, 844), (360, 740))
PUBLISHED = REPOSITORY / "docs/reproduction/agreement.html"


@pytest.fixture(scope="module")
def report(reported: Workflow) -> Path:
    """The report on the finished run."""
    return reported.folder / TARGET


@pytest.fixture(scope="module")
def empty_window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser; skipped where Chromium is not installed."""
    driver = shutil.which("chromedriver")
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if not driver or not chromium:
        install = "tests/install.sh chromedriver chromium chromium-driver"
        pytest.skip(f"needs chromium and chromedriver: run {install}")
    with browser(driver, chromium, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def window(report: Path, empty_window: Browser) -> Browser:
    """A browser that shows the report."""
    empty_window.open(report)
    return empty_window


def test_nothing_of_a_miniature_run_counts_as_agreement(report: Path) -> None:
    table = pd.read_csv(report.with_suffix(".csv"))
    trained = table[table["network"] != "-"]
    assert len(trained) == 132
    assert set(trained["verdict"]) == {"not comparable at this scale"}
    # Figure 3 has no networks and no scale.
    assert set(table.loc[table["network"] == "-", "verdict"]) == {"agrees"}
    assert "not comparable at this scale" in report.with_suffix(".md").read_text()


def test_the_report_says_what_becomes_of_every_ordering(report: Path, reported: Workflow) -> None:
    section = report.with_suffix(".md").read_text().split("## Beyond the paper")[1]
    for architecture in ("FCP", "LeNet", "Autoencoder", "LSTM"):
        # Three runs decide nothing.
        assert f"- {architecture}, train weights: inconclusive in heights" in section
    orderings = pd.read_csv(reported.folder / "results/smoke/converged/orderings.csv")
    assert len(orderings) == 4 * 2 * 2  # architectures, kinds of weights, measures
    assert orderings["converged"].notna().all()
    numbers = pd.read_csv(reported.folder / "results/smoke/figures/fig4_converged.csv")
    assert set(numbers["steps"]) <= {5, 10, 20}
    assert set(numbers["terms"]) == {4, 8}
    assert (numbers["barrier"] >= 0).all()


def test_a_changed_tolerance_searches_again_and_nothing_else(
    report: Path, reported: Workflow, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("converged: {tolerance: 0.2}\n")
    mine = ("--configfile", str(tmp_path / "mine.yaml"))
    rules = reported.rules("results/smoke/converged/orderings.csv", *SMOKE, *mine)
    assert rules == {"converge_paths", "judge_convergence"}


def test_the_report_is_made_once(report: Path, reported: Workflow) -> None:
    assert reported.jobs(TARGET, *SMOKE) == []


def test_an_edited_claim_makes_the_report_again_and_nothing_else(
    report: Path, reported: Workflow
) -> None:
    with reported.edited("config/claims.yaml", "factor: 3", "factor: 4"):
        rules = reported.rules(TARGET, *SMOKE)
    (reported.folder / "config/claims.yaml").touch()
    reported.run(TARGET, "--touch", "--cores", "1", *SMOKE)
    assert rules == {"judge_agreement", "publish_agreement"}


@pytest.mark.browser
def test_the_page_loads_without_complaint_or_request(window: Browser, report: Path) -> None:
    assert window.run("return document.title") == "Agreement with the paper, scale smoke"
    assert window.complaints() == []
    asked = [address for address in window.requests() if not address.startswith("data:")]
    assert asked == [report.resolve().as_uri()]


@pytest.mark.browser
def test_every_figure_is_shown_and_described(window: Browser) -> None:
    shown = window.run(
        "return [...document.images].map(i => [i.id, i.complete && i.naturalWidth > 500, i.alt])"
    )
    numbers = ["2", "3", "4", "5", "6", "S1", "S2", "S3", "S4"]
    figures = [f"fig{number}" for number in numbers]
    assert sorted(name for name, _, _ in shown) == sorted([*figures, "fig4_converged"])
    assert all(loaded and len(text) > 20 for _, loaded, text in shown)


@pytest.mark.browser
@pytest.mark.parametrize(("column", "number"), [(3, True), (1, False)], ids=["ours", "network"])
def test_tables_are_sorted_by_a_click_on_a_heading(
    window: Browser, column: int, number: bool
) -> None:
    table = "const table = document.querySelectorAll('table')[1];"  # Table S1
    read = (
        f"{table} return [...table.tBodies[0].rows].map(row => "
        f"row.cells[{column}].dataset.value ?? row.cells[{column}].textContent.trim())"
    )
    click = f"{table} table.querySelectorAll('thead button')[{column}].click();"
    state = f"{table} return table.tHead.rows[0].cells[{column}].getAttribute('aria-sort')"
    kind = float if number else str.casefold
    before = list(map(kind, window.run(read)))
    assert before != sorted(before)
    window.run(click)
    assert list(map(kind, window.run(read))) == sorted(before)
    assert window.run(state) == "ascending"
    window.run(click)
    assert list(map(kind, window.run(read))) == sorted(before, reverse=True)
    assert window.run(state) == "descending"


@pytest.mark.browser
def test_headings_have_a_scope(window: Browser) -> None:
    scopes = window.run("return [...document.querySelectorAll('th')].map(th => th.scope)")
    assert set(scopes) == {"col", "row"}


@pytest.mark.browser
def test_it_is_readable_on_a_phone_in_light_and_dark(window: Browser) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        window.prefer(scheme)
        assert_fits_phones(window)
        colours.add(window.run("return getComputedStyle(document.body).backgroundColor"))
    assert colours == {"rgb(255, 255, 255)", "rgb(20, 23, 26)"}


@pytest.mark.browser
def test_a_phone_shows_the_test_of_a_row_where_its_column_has_no_room(window: Browser) -> None:
    read = (
        "const row = document.querySelector('tbody tr'); row.querySelector('details').open = true;"
        "return [row.querySelector('.method'), row.querySelector('.narrow')]"
        ".map(part => [part.offsetHeight > 0, part.textContent.trim()])"
    )
    window.emulate(*PHONES[0])
    (column, in_column), (narrow, beneath) = window.run(read)
    assert (column, narrow) == (False, True)
    assert in_column.startswith("3 runs; ") and beneath == f"Test: {in_column}."


@pytest.mark.browser
def test_so_is_the_published_report(empty_window: Browser) -> None:
    """Its numbers have more digits than those of a miniature run. The last test: it leaves that."""
    empty_window.open(PUBLISHED)
    assert_fits_phones(empty_window)


def assert_fits_phones(window: Browser) -> None:
    """Nothing is wider than the screen, and no text wider than its cell."""
    cut = "[...document.querySelectorAll('td, th')].filter(c => c.scrollWidth > c.clientWidth)"
    for phone in PHONES:
        window.emulate(*phone)
        assert window.run("return document.documentElement.scrollWidth") <= phone[0]
        assert window.run(f"return {cut}.map(cell => cell.textContent.trim())") == []
