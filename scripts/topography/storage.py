"""Files of this project: tensors as safetensors, tables as CSV, each published by one rename.

A reader sees either the former file or the complete new one, never a part. Damage is an error
instead of a number: tensors carry a checksum of names, shapes, values and metadata; a table, which
should open in any program, has its SHA-256 beside it in ``<name>.csv.sha256``, in the form of the
command ``sha256sum``. Those are two files: a new table that a killed job left beside the former
checksum counts as damaged, and is made again.
Nothing is ever pickled: reading a file cannot run code.
"""

import csv
import errno
import hashlib
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from topography.errors import TopographyError

if TYPE_CHECKING:
    import pandas

AnyPath = str | os.PathLike[str]
Shape = Sequence[int | str | None]

CHECKSUM_KEY = "checksum"
STORABLE_KINDS = "biuf"  # numpy's codes of boolean, signed, unsigned, floating
FULL_OR_FAILING_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
HOW_TO_REMAKE = "Delete it and run the workflow again to remake it."
NEEDS_QUOTES = re.compile(r'[,"\r\n]')
LARGEST_INTEGER = 10**18
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf|nan")


class StorageError(TopographyError):
    """A file is missing, damaged, not what was expected, or cannot be written."""


# Writing ------------------------------------------------------------------------------------------


@contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success sync it and rename it to ``path``.

    The temporary name keeps the suffix, because some writers choose their format by it. If the
    block fails, the temporary file is removed and whatever was at ``path`` stays as it was.
    Missing folders are made.

    Raises:
        StorageError: the folder cannot be written, the disk is full, or the block wrote nothing.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _synchronise(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if _is_about(error, temporary, path):
            raise cannot_write(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    # Some network file systems refuse to sync a folder; the rename has happened all the same.
    with suppress(OSError):
        _synchronise(path.parent)


def write_tensors(
    path: AnyPath, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays and text metadata as one safetensors file with a checksum.

    Equal contents make equal files, byte for byte.

    Raises:
        StorageError: an array is not boolean, integer or real; metadata is not text; the file
            cannot be written.
    """
    plain = {name: _plain(path, name, tensor) for name, tensor in tensors.items()}
    notes = dict(metadata or {})
    for key, value in notes.items():
        if key == CHECKSUM_KEY or not isinstance(key, str) or not isinstance(value, str):
            raise StorageError(
                f"Cannot write {path}: metadata entry {key!r}: {value!r} is not text under a free "
                f"name. Give text for both, and leave the name {CHECKSUM_KEY!r} to this module."
            )
    checksum = _checksum(plain, notes)
    with atomic_path(path) as temporary:
        # Not safetensors' save_file: it makes files that only their owner can read.
        content = save(plain, metadata={**notes, CHECKSUM_KEY: checksum})
        with temporary.open("wb") as file:
            file.writelines(_with_sorted_header(content))


def write_table(path: AnyPath, table: "pandas.DataFrame") -> None:
    """Write a table as CSV: header, no index, floats with 9 significant digits, NaN as ``nan``.

    Nine digits bring back every float32 exactly; a float64 is rounded. Text may hold commas,
    quotes and newlines. The table's checksum goes beside it.

    Raises:
        StorageError: a column name is not unique text, a text cell is missing, a text column would
            be read back as numbers or booleans, or the file cannot be written.
    """
    names = list(table.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise StorageError(
            f"Cannot write {path}: column names {names} are not text or not unique. Rename them."
        )
    columns = [_column_as_text(path, name, table[name].to_numpy()) for name in names]
    lines = [_row(names), *(_row(cells) for cells in zip(*columns, strict=True))]
    content = "".join(lines).encode()
    # Both are on the disk before either gets its name: a full disk leaves the former pair alone.
    with atomic_path(checksum_path(path)) as beside:
        beside.write_text(f"{hashlib.sha256(content).hexdigest()}  {Path(path).name}\n")
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)


def write_text(path: AnyPath, text: str) -> None:
    """Write a text file, complete or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def checksum_path(path: AnyPath) -> Path:
    """Return where the checksum of a table lies."""
    return Path(f"{os.fspath(path)}.sha256")


def cannot_write(path: AnyPath, error: OSError) -> StorageError:
    """Make the error to raise when the operating system refuses to write ``path``."""
    return StorageError(
        f"Cannot write {path}: {error}. Check that its folder exists and is writable, "
        "and that the disk has space left."
    )


# Reading ------------------------------------------------------------------------------------------


def read_tensors(
    path: AnyPath, shapes: Mapping[str, Shape] | None = None, finite: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Read all arrays of a file written by ``write_tensors``.

    Args:
        path: the safetensors file.
        shapes: arrays that must be there, such as ``{"seeds": ["S"], "weights": ["S", "P"]}``.
            A size is a number, ``None`` for any, or a letter: the same size wherever it occurs.
        finite: names of arrays in which NaN and infinity are an error.

    Raises:
        StorageError: the file is missing, truncated or damaged, or does not hold what was asked.
    """
    tensors, _ = read_tensors_and_metadata(path)
    check_shapes(path, tensors, shapes or {})
    for name in finite:
        if not np.isfinite(_tensor(path, tensors, name)).all():
            raise StorageError(
                f"{path}: tensor {name!r} holds NaN or infinity where only finite values make "
                "sense. Look for a diverged run in the stage that wrote it."
            )
    return tensors


def read_shapes(path: AnyPath, names: Iterable[str]) -> dict[str, list[int]]:
    """Shapes of some arrays of a file written by ``write_tensors``, without reading what they hold.

    Raises:
        StorageError: the file is missing or damaged, or lacks one of them.
    """
    with _opened(path) as file:
        return {name: file.get_slice(name).get_shape() for name in names}


def read_tensors_and_metadata(path: AnyPath) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read all arrays and the text metadata of a file written by ``write_tensors``.

    Raises:
        StorageError: the file is missing, truncated or damaged.
    """
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    recorded = metadata.pop(CHECKSUM_KEY, None)
    actual = _checksum(tensors, metadata)
    if recorded != actual:
        raise StorageError(
            f"{path} is damaged or was not written by this project: "
            f"its recorded checksum is {recorded}, its content has {actual}. {HOW_TO_REMAKE}"
        )
    return tensors, metadata


def read_table(path: AnyPath, columns: Iterable[str] = ()) -> "pandas.DataFrame":
    """Read a CSV table written by ``write_table``.

    A column is int64, float64 or bool if all its cells say so, otherwise text; empty cells stay
    empty text. A float column of whole numbers comes back as int64: the file shows no difference.

    Args:
        path: the CSV file.
        columns: names that must be among the columns.

    Raises:
        StorageError: the file is missing, it does not agree with the checksum beside it, or the
            table has no header, a ragged row, or lacks a column.
    """
    import pandas  # here, so that scripts without tables start sooner

    rows = _read_rows(path)
    if not rows or len(set(rows[0])) < len(rows[0]):
        raise StorageError(f"{path}: no header of unique column names. {HOW_TO_REMAKE}")
    names, *body = rows
    missing = [name for name in columns if name not in names]
    if missing:
        raise StorageError(
            f"{path}: columns {missing} are missing; it has {names}. "
            "Give the right file, or remake this one."
        )
    for number, row in enumerate(body, start=2):
        if len(row) != len(names):
            raise StorageError(
                f"{path}: record {number} has {len(row)} cells, the header {len(names)}. "
                f"{HOW_TO_REMAKE}"
            )
    cells = zip(*body, strict=True) if body else ([] for _ in names)
    return pandas.DataFrame(
        {name: _values(list(column)) for name, column in zip(names, cells, strict=True)},
        columns=names,
    )


@contextmanager
def _opened(path: AnyPath) -> "Iterator[safe_open]":
    """A safetensors file; errors while it is read become a StorageError."""
    try:
        with open(path, "rb"), safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise _cannot_read(path, error) from error
    # A damaged header can name a type that numpy lacks, which is a TypeError or an AttributeError.
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise StorageError(
            f"{path} is truncated, damaged or no safetensors file ({error}). {HOW_TO_REMAKE}"
        ) from error


def sha256_of_file(path: AnyPath) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _cannot_read(path, error) from error


# Helpers ------------------------------------------------------------------------------------------


def _synchronise(path: Path) -> None:
    """Ask the operating system to put a file or folder on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_about(error: OSError, temporary: Path, path: Path) -> bool:
    """Tell an error of writing here from one of something else done in the block."""
    if error.errno in FULL_OR_FAILING_DISK:
        return True
    own = {os.fspath(place) for place in (temporary, path, *path.parents)}
    return error.filename is not None and os.fspath(error.filename) in own


def _cannot_read(path: AnyPath, error: OSError) -> StorageError:
    return StorageError(
        f"Cannot read {path}: {error.strerror or error}. "
        "Check the path, or run the stage that makes this file."
    )


def _plain(path: AnyPath, name: str, tensor: np.ndarray) -> np.ndarray:
    """Return the array as safetensors needs it: contiguous, little-endian, a plain number type."""
    tensor = np.asarray(tensor)
    if tensor.dtype.kind not in STORABLE_KINDS:
        raise StorageError(
            f"Cannot write {path}: tensor {name!r} has type {tensor.dtype}; "
            "only booleans, integers and real numbers are stored. Convert it first."
        )
    return tensor.astype(tensor.dtype.newbyteorder("<"), order="C", copy=False)


def _checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of all a file says, in an order that does not depend on how it was put in."""
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(repr((name, tensor.dtype.str, tensors[name].shape)).encode())
        digest.update(tensor.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _with_sorted_header(content: bytes) -> tuple[bytes, bytes, memoryview]:
    """Sort the header of a safetensors file, whose library puts metadata into a random order.

    The format: 8 bytes with the length of the header, the header as JSON, the values; the header
    is filled up with spaces so that the values begin at a multiple of 8.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(
        json.loads(content[8:end]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    padded = header + b" " * (-len(header) % 8)
    return len(padded).to_bytes(8, "little"), padded, memoryview(content)[end:]


def _tensor(path: AnyPath, tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in tensors:
        raise StorageError(
            f"{path}: tensor {name!r} is missing; it has {sorted(tensors)}. "
            "Give the right file, or remake this one."
        )
    return tensors[name]


def check_shapes(
    path: AnyPath, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Shape]
) -> None:
    """Compare shapes, letting each letter take the size of its first occurrence.

    Raises:
        StorageError: an array is missing or has another shape.
    """
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        actual = _tensor(path, tensors, name).shape
        matches = len(actual) == len(shape)
        for wanted, size in zip(shape, actual, strict=False):
            expected = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
            matches = matches and expected in (None, size)
        if not matches:
            known = f" with {sizes}" if sizes else ""
            raise StorageError(
                f"{path}: tensor {name!r} has shape {list(actual)}, expected {list(shape)}{known}. "
                "Give the right file, or remake this one."
            )


def read_checked(path: AnyPath) -> bytes:
    """Content of a CSV file, compared with its checksum.

    Raises:
        StorageError: it is missing, or damaged.
    """
    try:
        content = Path(path).read_bytes()
        if checksum_path(path).exists():
            recorded = checksum_path(path).read_text(errors="replace").split()[:1]
            actual = hashlib.sha256(content).hexdigest()
            if recorded != [actual]:
                raise StorageError(
                    f"{path} is damaged or was changed: {checksum_path(path)} records the SHA-256 "
                    f"{' '.join(recorded) or 'of nothing'}, its content has {actual}. "
                    f"{HOW_TO_REMAKE}"
                )
        else:  # where results travel through a bucket, only files that rules declare do
            print(
                f"warning: {path} has no checksum beside it, so it was not compared",
                file=sys.stderr,
            )
            if not content.endswith(b"\n"):
                raise StorageError(f"{path} is empty or was cut within a row. {HOW_TO_REMAKE}")
    except OSError as error:
        raise _cannot_read(error.filename or path, error) from error
    return content


def _read_rows(path: AnyPath) -> list[list[str]]:
    """Compare a CSV file with its checksum and split it into rows of cells."""
    content = read_checked(path)
    try:
        return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StorageError(
            f"{path} is truncated, damaged or no CSV file ({error}). {HOW_TO_REMAKE}"
        ) from error


def _row(cells: Iterable[str]) -> str:
    """Write one row of CSV; Python's own writer leaves a carriage return, which ends rows, bare."""
    quoted = (
        '"' + cell.replace('"', '""') + '"' if NEEDS_QUOTES.search(cell) else cell for cell in cells
    )
    return (",".join(quoted) or '""') + "\n"


def _column_as_text(path: AnyPath, name: str, values: np.ndarray) -> list[str]:
    """Format one column, refusing what would not come back as it was."""
    if values.dtype.kind == "f":
        return [f"{value:.9g}" for value in values.tolist()]
    if values.dtype.kind in "iu" and (np.abs(values.astype(float)) >= LARGEST_INTEGER).any():
        raise StorageError(
            f"Cannot write {path}: column {name!r} holds a number of more than 18 digits."
        )
    if values.dtype.kind in "biu":
        return [str(value) for value in values.tolist()]
    cells = values.tolist()
    if not all(isinstance(cell, str) for cell in cells):
        raise StorageError(
            f"Cannot write {path}: column {name!r} mixes text with other or missing values. "
            "Use the empty text for a missing text, and one type per column."
        )
    if not isinstance(_values(cells), list):
        raise StorageError(
            f"Cannot write {path}: text column {name!r} would be read back as numbers or booleans. "
            "Use words."
        )
    return cells


def _values(cells: list[str]) -> np.ndarray | list[str]:
    """Give one column its type: an array of int64, float64 or bool, or the cells as they are."""
    if cells and all(cell in ("True", "False") for cell in cells):
        return np.array([cell == "True" for cell in cells])
    if cells and all(INTEGER.fullmatch(cell) for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    if cells and all(FLOAT.fullmatch(cell) for cell in cells):
        return np.array([float(cell) for cell in cells], dtype=np.float64)
    return cells
