"""What published figures say about their origin, and how a published set is checked."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import publish_figure
import verify
import write_manifest
from support.pages import REPOSITORY
from topography import storage
from topography.jobs import command_line
from topography.report import provenance

RUN = {
    "commit": "0123abc, modified",
    "scale": "laptop",
    "dataset": "mnist",
    "configuration": "f" * 64,
    "seeds": "fcp 0-7, lenet 0-3",
}
DESCRIPTION = {**RUN, "device": "cpu", "date": "2026-01-02T03:04:05+00:00"}
FIELDS = {name: DESCRIPTION[key] for name, key in provenance.FIELDS.items()}


@pytest.fixture
def figure(tmp_path: Path) -> Path:
    """A figure as the plotting scripts write it, without suffix."""
    stem = tmp_path / "work" / "fig4"
    stem.parent.mkdir()
    drawing = Figure(figsize=(2, 1))
    drawing.subplots().plot([1, 3, 2])
    drawing.savefig(f"{stem}.pdf", metadata={"CreationDate": None})
    drawing.savefig(f"{stem}.png", metadata={"Software": None})
    Path(f"{stem}.csv").write_text("a\n1\n")
    return stem


@pytest.fixture
def published(figure: Path, tmp_path: Path) -> Path:
    """A folder with a published figure and its manifest."""
    folder = tmp_path / "reproduction"
    provenance.publish(figure, folder / "fig4", DESCRIPTION)
    storage.write_table(folder / provenance.MANIFEST, provenance.manifest(folder))
    return folder


def test_a_png_keeps_its_image_and_carries_its_origin(figure: Path, published: Path) -> None:
    before, after = (Image.open(stem.with_suffix(".png")) for stem in (figure, published / "fig4"))
    assert np.array_equal(np.asarray(before), np.asarray(after))
    assert {name: str(text) for name, text in after.text.items()} == FIELDS
    assert provenance.png_fields((published / "fig4.png").read_bytes()) == FIELDS


def test_a_pdf_keeps_its_content_and_carries_its_origin(figure: Path, published: Path) -> None:
    before, after = (stem.with_suffix(".pdf").read_bytes() for stem in (figure, published / "fig4"))
    assert after.startswith(before)
    assert provenance.pdf_fields(after) == FIELDS
    # The chain by which a reader finds the new object: the last table, its entry, the table before.
    start = int(re.findall(rb"startxref\n(\d+)\n%%EOF", after)[-1])
    table, number, offset = re.match(
        rb"(xref\n(\d+) 1\n(\d{10}) 00000 n \n)trailer", after[start:]
    ).groups()
    assert after[int(offset) :].startswith(number + b" 0 obj")
    trailer = after[start + len(table) :]
    assert b"/Info %s 0 R" % number in trailer
    previous = int(re.search(rb"/Prev (\d+)", trailer)[1])
    assert before[previous:].startswith(b"xref")
    sizes = [int(size) for size in re.findall(rb"/Size (\d+)", after)]
    assert sizes[-1] == sizes[-2] + 1 == int(number) + 1


def test_the_file_beside_a_figure_describes_it(published: Path) -> None:
    description = json.loads((published / "fig4.json").read_text())
    files = description.pop("files")
    assert description == {"figure": "fig4", **DESCRIPTION}
    assert set(files) == {"fig4.pdf", "fig4.png", "fig4.csv"}
    for name, checksum in files.items():
        assert storage.sha256_of_file(published / name) == checksum


@pytest.mark.parametrize("add", [provenance.with_pdf_fields, provenance.with_png_fields])
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 cut", b"\x89PNG\r\n\x1a\n cut"])
def test_what_is_no_figure_is_refused(add, content) -> None:
    with pytest.raises(provenance.ProvenanceError, match=r"is no (PDF|PNG) file"):
        add(content, FIELDS)


def test_a_whole_set_has_no_problems(published: Path) -> None:
    assert list(provenance.problems(published)) == []


def test_the_sets_in_this_repository_are_whole() -> None:
    manifests = list(REPOSITORY.glob(f"docs/*/{provenance.MANIFEST}"))
    assert manifests
    for manifest in manifests:
        assert list(provenance.problems(manifest.parent)) == [], manifest


def remake(folder: Path) -> None:
    storage.write_table(folder / provenance.MANIFEST, provenance.manifest(folder))


def test_every_kind_of_damage_is_found(published: Path) -> None:
    (published / "fig4.csv").write_text("a\n2\n")
    (published / "fig4.pdf").unlink()
    (published / "more.csv").write_text("b\n1\n")
    found = list(provenance.problems(published))
    assert {"fig4.csv: has changed", "fig4.pdf: is missing"} <= set(found)
    assert "more.csv: is not in the manifest" in found
    remake(published)  # a manifest of the damage: the description of the figure still tells
    found = list(provenance.problems(published))
    assert set(found) == {
        "fig4.json: fig4.csv is another file",
        "fig4.json: fig4.pdf is missing",
    }


def test_a_figure_with_another_origin_is_found(figure: Path, published: Path) -> None:
    other = figure.parent / "other"
    provenance.publish(figure, other, {**DESCRIPTION, "commit": "another"})
    content = other.with_suffix(".png").read_bytes()
    (published / "fig4.png").write_bytes(content)
    description = json.loads((published / "fig4.json").read_text())
    description["files"]["fig4.png"] = storage.sha256_of_file(published / "fig4.png")
    provenance.write_json(published / "fig4.json", description)
    remake(published)
    assert list(provenance.problems(published)) == [
        "fig4.json: fig4.png carries another description"
    ]


def test_a_manifest_cannot_lead_out_of_its_folder(published: Path) -> None:
    table = storage.read_table(published / provenance.MANIFEST)
    table["path"] = table["path"].replace("fig4.csv", "../work/fig4.csv")
    storage.write_table(published / provenance.MANIFEST, table)
    assert any("lies outside" in problem for problem in provenance.problems(published))


def test_how_results_were_made_is_no_result(published: Path) -> None:
    for name in ("logs/train.log", "checkpoints/x.safetensors", "provenance.json"):
        (published / name).parent.mkdir(exist_ok=True)
        (published / name).write_text("{}")
    assert list(provenance.problems(published)) == []
    assert len(provenance.manifest(published)) == 4


def test_a_scale_takes_one_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "results/laptop"
    provenance.require_same_dataset(folder, "mnist")  # nothing there yet
    provenance.write_json(folder / "provenance.json", RUN)
    (folder / "logs").mkdir()
    (folder / "logs/train.log").touch()
    provenance.require_same_dataset(folder, "digits")  # nothing that could be lost

    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/x.safetensors").touch()
    provenance.require_same_dataset(folder, "mnist")
    with pytest.raises(provenance.ProvenanceError) as refused:
        provenance.require_same_dataset(folder, "digits")
    for text in ("mnist", "dataset: digits", str(folder), "config/<name>.yaml"):
        assert text in str(refused.value)

    (folder / "provenance.json").write_text("half a fi")
    provenance.require_same_dataset(folder, "digits")  # nobody knows


def test_the_commands(figure: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    run = tmp_path / "provenance.json"
    provenance.write_json(run, {**RUN, "trainings": ["fcp/sgd/seeds_0-3", "fcp/sgd/none"]})
    logs = tmp_path / "logs/fcp/sgd"
    logs.mkdir(parents=True)
    (logs / "seeds_0-3.log").write_text("resumed\nfcp: 42200 parameters, 3 epochs, on cuda\nx\n")
    (logs / "seeds_0-1.log").write_text("of other settings\nfcp: 42200 parameters, on cpu\n")
    folder = tmp_path / "set"

    def command(script, *arguments) -> None:
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        command_line.run(script.main)

    target = ["--target", folder / "fig4", "--logs", tmp_path / "logs"]
    command(publish_figure, "--figure", figure, "--run", run, *target)
    command(write_manifest, "--root", folder)
    command(verify, folder)
    assert "4 files are what the manifest says" in capsys.readouterr().out
    assert provenance.png_fields((folder / "fig4.png").read_bytes())["Device"] == "cuda"
    (folder / "fig4.csv").write_text("a\n2\n")
    with pytest.raises(SystemExit):
        command(verify, folder)
    printed = capsys.readouterr()
    assert "fig4.csv: has changed" in printed.out
    assert "2 differences" in printed.err


def test_a_folder_without_a_manifest_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(storage.StorageError, match=r"manifest\.csv"):
        list(provenance.problems(tmp_path))
    with pytest.raises(provenance.ProvenanceError, match="no results"):
        provenance.manifest(tmp_path)


def test_the_commit_and_whether_the_code_differs_from_it(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path / "nowhere") == provenance.UNKNOWN

    def git(*arguments: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *names, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    file = tmp_path / "config.yaml"
    file.write_text("one")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text("one")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    head = git("rev-parse", "HEAD")
    assert provenance.commit(tmp_path) == head
    (tmp_path / "docs.md").write_text("new, and without effect on results")
    assert provenance.commit(tmp_path) == head
    file.write_text("two")
    assert provenance.commit(tmp_path) == f"{head}, modified"
    file.write_text("one")
    for name in provenance.CODE:
        assert (REPOSITORY / name).exists()
        mine = tmp_path / name
        if (REPOSITORY / name).is_dir():
            mine = mine / "mine"
            mine.parent.mkdir(exist_ok=True)
        mine.write_text("not in the commit")
        assert provenance.commit(tmp_path) == f"{head}, modified", name
        git("checkout", "-q", ".")
        git("clean", "-dfq")
        assert provenance.commit(tmp_path) == head


def test_the_hash_is_of_what_results_depend_on(tmp_path: Path) -> None:
    config = {"scale": "a", "dataset": "b", "device": "cpu", "data_source": "c", "x": {"y": 1}}

    def hashed(**changes) -> str:
        return provenance.describe_run(tmp_path, {**config, **changes}, "")["configuration"]

    assert hashed(device="cuda", data_source="d", gpu_memory=0.5) == hashed()
    assert hashed(x={"y": 2}) != hashed()
