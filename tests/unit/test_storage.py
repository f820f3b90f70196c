"""Files come back as they were written, or there is an error; never anything in between."""

import hashlib
import os
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save_file

from support.faults import full_disk, ordinary_user
from topography.storage import (
    StorageError,
    atomic_path,
    read_table,
    read_tensors,
    read_tensors_and_metadata,
    sha256_of_file,
    write_table,
    write_tensors,
    write_text,
)

FAST = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
TENSORS = {
    "seeds": np.array([0, 7], dtype=np.int64),
    "weights": np.array([[0.1, -2.0, 3.5], [4.0, 5.0, np.nan]], dtype=np.float32),
}
TABLE = pandas.DataFrame(
    {
        "seed": [0, 1],
        "kept": [True, False],
        "loss": [0.125, np.nan],
        "reason": ["", 'loss, "nan"\nin epoch 3'],
    }
)


# Tensors ------------------------------------------------------------------------------------------


@FAST
@given(
    tensor=some.sampled_from(["?", "u1", "i4", "i8", "<f4", ">f4", "f8"]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    metadata=some.dictionaries(some.text(max_size=5), some.text(max_size=5), max_size=3),
)
def test_tensors_and_metadata_come_back_exactly(tmp_path, tensor, metadata):
    file = tmp_path / "any.safetensors"
    write_tensors(file, {"tensor": tensor, "transposed": tensor.T}, metadata)
    read = read_tensors(file)
    np.testing.assert_array_equal(read["tensor"], tensor, strict=tensor.dtype.isnative)
    np.testing.assert_array_equal(read["transposed"], tensor.T)
    assert read["tensor"].dtype == tensor.dtype.newbyteorder("=")
    assert read_tensors_and_metadata(file)[1] == metadata


def test_equal_contents_make_equal_files(tmp_path):
    """Whatever the order they are given in, and from one process to the next."""
    notes = {f"note {number}": "ä\n\x00\x7f\u2028" for number in range(8)}
    write_tensors(tmp_path / "one", TENSORS, notes)
    write_tensors(
        tmp_path / "other", dict(reversed(TENSORS.items())), dict(reversed(notes.items()))
    )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert read_tensors_and_metadata(tmp_path / "one")[1] == notes
    header = (tmp_path / "one").read_bytes()
    assert int.from_bytes(header[:8], "little") % 8 == 0  # the values are aligned


def test_read_tensors_may_be_changed_in_memory(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_tensors(file, TENSORS)
    read_tensors(file)["weights"][0, 0] = 1.0  # torch.from_numpy needs writable memory
    assert read_tensors(file)["weights"][0, 0] == np.float32(0.1)


def test_any_flipped_bit_is_noticed(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_tensors(file, TENSORS, {"source": "here"})
    content = file.read_bytes()
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            file.write_bytes(damaged)
            with pytest.raises(StorageError, match="damaged"):
                read_tensors(file)


def test_any_truncation_is_noticed(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_tensors(file, TENSORS)
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(StorageError, match=r"weights.safetensors is truncated, damaged"):
            read_tensors(file)


def test_file_without_checksum_is_refused(tmp_path):
    file = tmp_path / "foreign.safetensors"
    save_file(TENSORS, file)
    with pytest.raises(StorageError, match="not written by this project"):
        read_tensors(file)


def test_missing_file_is_named(tmp_path):
    for read in (read_tensors, read_tensors_and_metadata, read_table, sha256_of_file):
        with pytest.raises(StorageError, match=r"Cannot read .*absent: No such file"):
            read(tmp_path / "absent")


@pytest.mark.parametrize(
    ("shapes", "complaint"),
    [
        ({"biases": ["S"]}, r"tensor 'biases' is missing; it has \['seeds', 'weights'\]"),
        ({"weights": [2, 4]}, r"'weights' has shape \[2, 3\], expected \[2, 4\]"),
        ({"weights": [2]}, r"'weights' has shape \[2, 3\], expected \[2\]"),
        ({"seeds": ["S"], "weights": ["P", "S"]}, r"expected \['P', 'S'\] with {'S': 2"),
    ],
)
def test_wrong_content_is_refused(tmp_path, shapes, complaint):
    file = tmp_path / "weights.safetensors"
    write_tensors(file, TENSORS)
    with pytest.raises(StorageError, match=complaint):
        read_tensors(file, shapes)


def test_right_shapes_and_finite_values_pass(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_tensors(file, TENSORS)
    read = read_tensors(file, {"seeds": ["S"], "weights": ["S", None]}, finite=["seeds"])
    assert set(read) == {"seeds", "weights"}


def test_not_finite_values_are_refused_when_asked(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_tensors(file, TENSORS)
    with pytest.raises(StorageError, match="'weights' holds NaN"):
        read_tensors(file, finite=["weights"])


@pytest.mark.parametrize("value", [np.array(["text"]), np.array([object()]), np.array([1j])])
def test_only_numbers_are_stored(tmp_path, value):
    with pytest.raises(StorageError, match="tensor 'value' has type"):
        write_tensors(tmp_path / "file.safetensors", {"value": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [{"count": 3}, {"checksum": "mine"}])
def test_metadata_must_be_text_under_a_free_name(tmp_path, metadata):
    with pytest.raises(StorageError, match="metadata entry"):
        write_tensors(tmp_path / "file.safetensors", TENSORS, metadata)


# Tables -------------------------------------------------------------------------------------------

words = some.text(max_size=8).filter(lambda text: text.strip(string.digits + "+-.eEinfa"))


@FAST
@given(
    rows=some.lists(
        some.tuples(
            some.integers(-(10**15), 10**15),
            some.booleans(),
            some.floats(width=32),
            some.one_of(some.just(""), words),
        ),
        max_size=5,
    )
)
def test_tables_come_back(tmp_path, rows):
    file = tmp_path / "any.csv"
    table = pandas.DataFrame(rows, columns=["seed", "kept", "loss", "reason"])
    write_table(file, table)
    read = read_table(file)
    assert list(read.columns) == list(table.columns)
    assert read["seed"].tolist() == table["seed"].tolist()
    assert read["kept"].tolist() == table["kept"].tolist()
    assert read["reason"].tolist() == table["reason"].tolist()
    np.testing.assert_array_equal(
        read["loss"].to_numpy(np.float32), table["loss"].to_numpy(np.float32)
    )


@pytest.mark.parametrize("reason", ["\r", "\r\n", "\n", '"', ",", " ", "\0", "\u2028", "µ", "a\rb"])
def test_awkward_text_comes_back(tmp_path, reason):
    write_table(tmp_path / "runs.csv", pandas.DataFrame({"reason": [reason, "", reason]}))
    assert read_table(tmp_path / "runs.csv")["reason"].tolist() == [reason, "", reason]


def test_columns_have_the_type_their_cells_show(tmp_path):
    file = tmp_path / "runs.csv"
    write_table(file, TABLE)
    read = read_table(file, columns=["seed", "reason"])
    assert read.dtypes[:3].tolist() == [np.int64, np.bool_, np.float64]
    assert read["reason"].tolist() == TABLE["reason"].tolist()
    assert file.read_text() == (
        'seed,kept,loss,reason\n0,True,0.125,\n1,False,nan,"loss, ""nan""\nin epoch 3"\n'
    )


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    write_table(tmp_path / "runs.csv", TABLE[:0])
    read = read_table(tmp_path / "runs.csv")
    assert list(read.columns) == list(TABLE.columns)
    assert len(read) == 0


def damaged_versions(content: bytes) -> Iterator[bytes]:
    """Every cut and every flipped bit of a short file."""
    for length in range(len(content)):
        yield content[:length]
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            yield bytes(damaged)


def test_any_cut_and_any_flipped_bit_of_a_table_is_noticed(tmp_path):
    file = tmp_path / "runs.csv"
    write_table(file, TABLE)
    for damaged in damaged_versions(file.read_bytes()):
        file.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"runs\.csv is damaged or was changed.*Delete it"):
            read_table(file)


def test_any_damage_of_a_checksum_is_noticed(tmp_path):
    """The name after the sum, which is for the command sha256sum, is not looked at."""
    file = tmp_path / "runs.csv"
    write_table(file, TABLE)
    beside = tmp_path / "runs.csv.sha256"
    line = beside.read_bytes()
    assert line == b"%s  runs.csv\n" % hashlib.sha256(file.read_bytes()).hexdigest().encode()
    for damaged in damaged_versions(line[:64]):
        beside.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"runs\.csv"):
            read_table(file)


def test_a_table_without_its_checksum_is_read_with_a_warning(tmp_path, capsys):
    file = tmp_path / "runs.csv"
    write_table(file, TABLE)
    (tmp_path / "runs.csv.sha256").unlink()
    assert list(read_table(file)["seed"]) == list(TABLE["seed"])
    assert "no checksum beside it" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StorageError, match="cut within a row"):
        read_table(file)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"seed,loss\n0,1.5,2\n", "record 2 has 3 cells, the header 2"),
        (b"seed,loss\n0\n", "record 2 has 1 cells, the header 2"),
        (b"seed,loss\n\n", "record 2 has 0 cells"),
        (b"seed,seed\n1,2\n", "no header of unique column names"),
        (b"seed\n\xff\n", "no CSV file"),
        (b"", "no header of unique column names"),
    ],
)
def test_tables_of_another_form_are_refused(tmp_path, content, complaint):
    """Such as a user may have written, and summed up, by hand."""
    file = tmp_path / "runs.csv"
    file.write_bytes(content)
    (tmp_path / "runs.csv.sha256").write_text(hashlib.sha256(content).hexdigest())
    with pytest.raises(StorageError, match=complaint):
        read_table(file)


def test_missing_column_is_named(tmp_path):
    file = tmp_path / "runs.csv"
    write_table(file, TABLE)
    with pytest.raises(StorageError, match=r"columns \['rank'\] are missing; it has \['seed'"):
        read_table(file, columns=["seed", "rank"])


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (pandas.DataFrame({"reason": ["", None]}), "missing values"),
        (pandas.DataFrame({"reason": ["a", 1]}), "mixes text"),
        (pandas.DataFrame({"reason": ["1", "2"]}), "read back as numbers"),
        (pandas.DataFrame({"reason": ["nan"]}), "read back as numbers"),
        (pandas.DataFrame({"reason": ["True"]}), "read back as numbers or booleans"),
        (pandas.DataFrame({"seed": [1, 10**18]}), "more than 18 digits"),
        (pandas.DataFrame({"seed": np.array([2**64 - 1], np.uint64)}), "more than 18 digits"),
        (pandas.DataFrame({0: [1]}), "not text or not unique"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "not text or not unique"),
    ],
)
def test_tables_that_would_come_back_changed_are_refused(tmp_path, table, complaint):
    with pytest.raises(StorageError, match=complaint):
        write_table(tmp_path / "table.csv", table)
    assert list(tmp_path.iterdir()) == []


# Atomicity ----------------------------------------------------------------------------------------

WRITERS = [
    pytest.param(lambda path: write_tensors(path, TENSORS), id="tensors"),
    pytest.param(lambda path: write_table(path, TABLE), id="table"),
    pytest.param(lambda path: write_text(path, "drawn " * 20), id="text"),
]


def test_atomic_path_publishes_at_the_end(tmp_path):
    target = tmp_path / "new" / "figure.png"
    with atomic_path(target) as temporary:
        temporary.write_text("drawn")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png"
        assert not target.exists()
    assert target.read_text() == "drawn"
    assert list(target.parent.iterdir()) == [target]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path):
    target = tmp_path / "figure.png"
    target.write_text("old")
    with target.open() as reader:
        with atomic_path(target) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError("defect"), KeyboardInterrupt()])
def test_failed_block_leaves_the_old_file_alone(tmp_path, failure):
    target = tmp_path / "figure.png"
    target.write_text("old")
    with pytest.raises(type(failure)), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise failure
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_error_of_another_file_passes_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "copy"):
        (tmp_path / "elsewhere" / "original").read_text()


def test_block_that_writes_nothing_is_an_error(tmp_path):
    target = tmp_path / "figure.png"
    with pytest.raises(StorageError, match=f"Cannot write {target}"), atomic_path(target):
        pass


def test_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    target = tmp_path / "figure.png"
    published_at_sync = []
    synchronise = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (published_at_sync.append(target.exists()), synchronise(file))
    )
    with atomic_path(target) as temporary:
        temporary.write_text("drawn")
    assert published_at_sync == [False, True]  # the file before its renaming, the folder after


@pytest.mark.parametrize("write", WRITERS)
def test_full_disk_leaves_the_old_file_alone(tmp_path, write: Callable[[Path], None]):
    target = tmp_path / "target"
    target.write_text("old")
    with full_disk(64), pytest.raises(StorageError, match=r"Cannot write .*target.*space left"):
        write(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", WRITERS)
def test_read_only_folder_is_named(tmp_path, write: Callable[[Path], None]):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o555)
    with ordinary_user(), pytest.raises(StorageError, match=r"Cannot write .*Permission denied"):
        write(folder / "target")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS)
def test_file_or_folder_in_the_way_is_named(tmp_path, write: Callable[[Path], None]):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "file" / "target", tmp_path / "folder"):
        with pytest.raises(StorageError, match=f"Cannot write {target}"):
            write(target)
    assert (tmp_path / "file").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize("write", WRITERS)
def test_files_have_ordinary_permissions(tmp_path, write: Callable[[Path], None]):
    (tmp_path / "ordinary").touch()
    write(tmp_path / "target")
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
