"""The code on the pages of the documentation runs and does what the pages say."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.pages import REPOSITORY, blocks, program, write_files
from topography.datasets import load_dataset, write_dataset
from topography.paths import find_paths
from topography.storage import write_tensors

README, EXTENDING, LIBRARY = PAGES = ("README.md", "docs/extending.md", "docs/library.md")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict, str]]:
    """What the blocks of library.md define, and what they print, beside some smoke results."""
    folder = tmp_path_factory.mktemp("library")
    random = np.random.RandomState(0)
    weights = random.normal(0.0, 0.1, (3, 42_200)).astype(np.float32)
    digits = load_dataset("digits", folder / "raw", "download")
    write_dataset(folder / "results/data/digits.safetensors", digits)
    write_tensors(
        folder / "results/smoke/sets/fcp/lbfgs_test.safetensors",
        {"weights": weights, "seeds": np.arange(3)},
    )
    printed: list[str] = []
    names = {"print": lambda *values: printed.append(" ".join(map(str, values)))}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(program(LIBRARY), REPOSITORY / LIBRARY, "exec"), names)
        yield names, "\n".join(printed)


def test_the_function_example_prints_what_the_page_says(library: tuple[dict, str]) -> None:
    promised = re.findall(r'^print\(f"(.*?) *\{.*# ([\d.]+)$', program(LIBRARY), re.MULTILINE)
    assert promised == [("straight", "0.640"), ("path", "0.000")]
    for name, number in promised:
        assert re.search(rf"^{name} +{number}$", library[1], re.MULTILINE)
    names = library[0]
    assert names["points"].shape == (201, 2)
    assert names["losses"].shape == (201,)
    assert round(names["length"], 1) == 2.2


def test_more_steps_lower_the_path_as_the_page_says(library: tuple[dict, str]) -> None:
    promised = re.findall(r"^# (\d+ steps [\d.]+ [\d.]+)", program(LIBRARY), re.MULTILINE)
    assert [line for line in library[1].splitlines() if " steps " in line] == promised
    assert len(promised) == 4


def test_paths_between_the_networks_of_the_page_are_lower_than_straight_lines(
    library: tuple[dict, str],
) -> None:
    names, printed = library
    straight, curved = map(float, re.search(r"^([\d.]+) ([\d.]+)$", printed, re.MULTILINE).groups())
    assert curved < 0.7 * straight
    assert (names["heights"] < 0.3 * names["straight_heights"]).all()


def test_the_table_of_settings_is_complete(library: tuple[dict, str]) -> None:
    page = (REPOSITORY / LIBRARY).read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", page, re.MULTILINE)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(find_paths).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert {
        name: eval(text.strip("`"), {"none": None})  # as the page writes it, 1e-4 or `"lowest"`
        for name, text in rows
    } == defaults


def test_the_example_of_the_readme_finds_a_lower_path(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(program(README), REPOSITORY / README, "exec"), {})
    straight, height = map(float, capsys.readouterr().out.split(" -> "))
    assert round(straight, 3) == 1.102  # Fig. 3 of the paper
    assert height < 0.7


def test_the_code_of_extending_runs(tmp_path: Path) -> None:
    for folder in ("scripts", "config"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=ignored)
    written = write_files(EXTENDING, tmp_path)
    assert {Path(name).parent.name for name in written} == {
        "architectures",
        "optimizers",
        "datasets",
        "config",
    }
    done = subprocess.run(
        [sys.executable, "-"],
        input=program(EXTENDING),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "scripts", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def headings(page: Path) -> set[str]:
    """What links to a page call its headings."""
    return {
        re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    }


def test_links_lead_somewhere() -> None:
    pages = [
        REPOSITORY / "results/README.md",
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            file, _, heading = target.partition("#")
            if file.startswith(("https://", "http://")):
                continue
            aim = page.parent / file if file else page
            assert aim.exists(), f"{page.name} links to {target}"
            assert not heading or heading in headings(aim), f"{page.name} links to {target}"


def test_every_block_has_a_language() -> None:
    for page in PAGES:
        fences = re.findall(r"^```(\w*)$", (REPOSITORY / page).read_text(), re.MULTILINE)
        assert set(fences[::2]) <= {"python", "yaml", "console"}, page
        assert set(fences[1::2]) <= {""}, page
        assert blocks(page, "python")
