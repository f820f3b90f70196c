"""Where results come from, and that they are still what they were.

Results themselves carry neither date nor commit: equal results are equal files, and a commit reruns
nothing. Their published copies do carry them, in their metadata and in a JSON file beside them.
"""

import datetime
import hashlib
import json
import re
import struct
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topography import storage
from topography.errors import TopographyError

if TYPE_CHECKING:
    import pandas

MANIFEST = "manifest.csv"
# In the folder of a scale: what its last run was started with.
RUN = "provenance.json"
# What tells of a run and can be spared.
ABOUT_RUNS = ("logs", "benchmarks", RUN)
# What a manifest leaves out: it says how results were made, and is no result.
NO_RESULTS = (*ABOUT_RUNS, "checkpoints")
PNG_START = b"\x89PNG\r\n\x1a\n"
UNKNOWN = "unknown"
# What results depend on of a repository.
CODE = ("Snakefile", "rules", "scripts", "envs", "config", "config.yaml", "uv.lock")
# Settings that change no result: where data and networks lie is a matter of the machine.
WITHOUT_EFFECT = ("data_source", "device", "gpu_memory")
# In the metadata of a figure: what it is called there -> key of its description.
FIELDS = {
    "Commit": "commit",
    "Scale": "scale",
    "Dataset": "dataset",
    "Configuration": "configuration",
    "Seeds": "seeds",
    "Device": "device",
    "Date": "date",
}


class ProvenanceError(TopographyError):
    """A file cannot be stamped, or a published set is not what its manifest says."""


# Describing ---------------------------------------------------------------------------------------


def describe_run(repository: Path, config: Mapping[str, Any], seeds: str) -> dict[str, str]:
    """What a run was started with: commit, scale, dataset, hash of the configuration, seeds.

    repository: folder with the code. config: the complete configuration; settings that change no
    result, such as the device, do not enter the hash. seeds: as they are to be printed.
    """
    science = {key: value for key, value in config.items() if key not in (*WITHOUT_EFFECT, "scale")}
    text = json.dumps(science, sort_keys=True)
    return {
        "commit": commit(repository),
        "scale": str(config["scale"]),
        "dataset": str(config["dataset"]),
        "configuration": hashlib.sha256(text.encode()).hexdigest(),
        "seeds": seeds,
    }


def require_same_dataset(folder: Path, dataset: str) -> None:
    """Refuse to put the work on one dataset where that on another lies.

    folder: of a scale. Where no run has left its description, nothing is known and all is accepted.

    Raises:
        ProvenanceError: the last run was on another dataset, and there is work that would be lost.
    """
    try:
        before = json.loads((folder / RUN).read_text(encoding="utf-8"))["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    work = (
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ABOUT_RUNS
    )
    if before != dataset and any(work):
        raise ProvenanceError(
            f"{folder} was made with the dataset {before}; this run, with {dataset}, would "
            f"overwrite it. Give {dataset} a scale of its own: a file config/<name>.yaml with "
            f"`scale: <name>` and `dataset: {dataset}`, as docs/extending.md tells under "
            f'"A dataset". Or remove {folder} first.'
        )


def commit(repository: Path) -> str:
    """Commit of the code, with "modified" if code or settings differ from it or are not in it;
    "unknown" without git."""
    try:
        head, changes = (
            subprocess.run(
                ["git", "-C", str(repository), *arguments],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "--verify", "HEAD"],
                ["status", "--porcelain", "--untracked-files=all", "--", *CODE],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{head}, modified" if changes else head


def devices(logs: Iterable[Path]) -> str:
    """Devices that networks were trained on, as the training logs say where trainings begin."""
    found: set[str] = set()
    for log in logs:
        text = log.read_text(encoding="utf-8", errors="replace")
        found |= set(re.findall(r" epochs, on (\w+)$", text, re.MULTILINE))
    return ", ".join(sorted(found)) or UNKNOWN


def now() -> str:
    """Date and time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


# Stamping -----------------------------------------------------------------------------------------


def publish(stem: Path, target: Path, description: Mapping[str, str]) -> None:
    """Copy a figure ``stem``.pdf, .png and .csv to ``target``.*, with its provenance.

    PDF and PNG get the description as metadata; ``target``.json holds it and the checksums of the
    three files.

    Raises:
        ProvenanceError: a file is no PDF or PNG as matplotlib writes them.
        StorageError: the CSV file is damaged, or a file cannot be written.
    """
    fields = {name: description[key] for name, key in FIELDS.items()}
    try:
        stamped = {
            ".pdf": with_pdf_fields(stem.with_suffix(".pdf").read_bytes(), fields),
            ".png": with_png_fields(stem.with_suffix(".png").read_bytes(), fields),
            ".csv": storage.read_checked(stem.with_suffix(".csv")),
        }
    except ProvenanceError as error:
        raise ProvenanceError(f"{stem} {error}. Delete it and run the workflow again.") from None
    files = {}
    for suffix, content in stamped.items():
        file = target.with_suffix(suffix)
        with storage.atomic_path(file) as temporary:
            temporary.write_bytes(content)
        files[file.name] = hashlib.sha256(content).hexdigest()
    write_json(target.with_suffix(".json"), {"figure": target.name, **description, "files": files})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that the workflow has written.

    Raises:
        ProvenanceError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProvenanceError(
            f"Cannot read {path}: {error}. The workflow writes it; run it again."
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file for people to read, complete or not at all."""
    storage.write_text(path, json.dumps(content, indent=2) + "\n")


def with_png_fields(content: bytes, fields: Mapping[str, str]) -> bytes:
    """A PNG with a text chunk (iTXt) per field before its end; the image stays as it is.

    Raises:
        ProvenanceError: it is no PNG.
    """
    end = content.rfind(b"IEND") - 4
    if not content.startswith(PNG_START) or end < 0:
        raise ProvenanceError("is no PNG file")
    chunks = b""
    for name, value in fields.items():
        body = b"iTXt" + name.encode("latin-1") + b"\0\0\0\0\0" + value.encode()
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:end] + chunks + content[end:]


def png_fields(content: bytes) -> dict[str, str]:
    """The text chunks (iTXt, uncompressed) of a PNG."""
    fields, place = {}, len(PNG_START)
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        body = content[place + 8 : place + 8 + length]
        if content[place + 4 : place + 8] == b"iTXt":
            name, _, rest = body.partition(b"\0")
            fields[name.decode("latin-1")] = rest[2:].split(b"\0", 2)[2].decode()
        place += length + 12
    return fields


def with_pdf_fields(content: bytes, fields: Mapping[str, str]) -> bytes:
    """A PDF with the fields in its information dictionary, as an incremental update at its end.

    ISO 32000-1, 7.5.6: what was there stays as it is; a new object, the table that finds it and a
    trailer that names it are appended.

    Raises:
        ProvenanceError: it is no PDF with a plain cross-reference table.
    """
    trailer = re.search(rb"trailer\s*<<(.*?)>>\s*startxref\s*(\d+)\s*%%EOF\s*$", content, re.DOTALL)
    size = re.search(rb"/Size (\d+)", trailer[1]) if trailer else None
    root = re.search(rb"/Root (\d+ \d+ R)", trailer[1]) if trailer else None
    if not content.startswith(b"%PDF") or not size or not root:
        raise ProvenanceError("is no PDF file as matplotlib writes it")
    number = int(size[1])
    entries = b"".join(
        b"/%s <%s>\n" % (name.encode(), ("\ufeff" + value).encode("utf-16-be").hex().encode())
        for name, value in fields.items()
    )
    start = content if content.endswith(b"\n") else content + b"\n"
    information = b"%d 0 obj\n<<\n%s>>\nendobj\n" % (number, entries)
    table = b"xref\n%d 1\n%010d 00000 n \n" % (number, len(start))
    end = b"trailer\n<< /Size %d /Root %s /Info %d 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n" % (
        number + 1,
        root[1],
        number,
        trailer[2],
        len(start) + len(information),
    )
    return start + information + table + end


def pdf_fields(content: bytes) -> dict[str, str]:
    """The fields that `with_pdf_fields` wrote."""
    update = content[content.rfind(b" 0 obj\n<<\n") :]
    return {
        name.decode(): bytes.fromhex(value.decode()).decode("utf-16-be").removeprefix("\ufeff")
        for name, value in re.findall(rb"/(\w+) <([0-9a-f]*)>\n", update)
    }


# Checking -----------------------------------------------------------------------------------------


def manifest(root: Path) -> "pandas.DataFrame":
    """``path`` below the root, ``bytes`` and ``sha256`` of every result there, by path.

    Raises:
        ProvenanceError: there is none.
        StorageError: one cannot be read.
    """
    import pandas  # here: Snakemake itself imports this module

    rows = [
        {
            "path": file.relative_to(root).as_posix(),
            "bytes": file.stat().st_size,
            "sha256": storage.sha256_of_file(file),
        }
        for file in results_below(root)
    ]
    if not rows:
        raise ProvenanceError(f"There are no results below {root} to list. Make them first.")
    return pandas.DataFrame(rows)


def results_below(root: Path) -> list[Path]:
    """Every file below the root that a manifest has to list."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file()
        and path not in (root / MANIFEST, storage.checksum_path(root / MANIFEST))
        and path.relative_to(root).parts[0] not in NO_RESULTS
        and not path.name.startswith(".")
    )


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the set of files below the root that has a manifest: nothing, if whole.

    Changed, missing and unlisted files, and figures that are not what the JSON file beside them
    says.

    Raises:
        StorageError: there is no manifest, or it is damaged.
    """
    listed = storage.read_table(root / MANIFEST, ["path", "bytes", "sha256"])
    for row in listed.itertuples():
        file = root / row.path
        if not file.resolve().is_relative_to(root.resolve()):
            yield f"{row.path}: lies outside of {root}"
        elif not file.is_file():
            yield f"{row.path}: is missing"
        elif storage.sha256_of_file(file) != row.sha256:
            yield f"{row.path}: has changed"
    for file in results_below(root):
        path = file.relative_to(root).as_posix()
        if path not in set(listed["path"]):
            yield f"{path}: is not in the manifest"
        elif file.suffix == ".json":
            yield from (f"{path}: {text}" for text in _figure_problems(file))


def _figure_problems(file: Path) -> Iterator[str]:
    """Where a figure is not what the JSON file beside it says."""
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        files, fields = description["files"], {k: description[v] for k, v in FIELDS.items()}
    except (ValueError, KeyError, TypeError):
        yield "is no description of a figure"
        return
    for name, checksum in files.items():
        figure = file.with_name(name)
        if not figure.is_file():
            yield f"{name} is missing"
            continue
        content = figure.read_bytes()
        if hashlib.sha256(content).hexdigest() != checksum:
            yield f"{name} is another file"
        elif figure.suffix in READERS and READERS[figure.suffix](content) != fields:
            yield f"{name} carries another description"


READERS = {".png": png_fields, ".pdf": pdf_fields}
