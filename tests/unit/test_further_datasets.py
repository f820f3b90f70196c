"""Colour images and texts arrive as published, from small archives made here."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from topography.datasets import (
    Dataset,
    DatasetError,
    _text,
    cifar10,
    load_dataset,
    read_dataset,
    wikitext2,
    write_dataset,
)
from topography.datasets._published import PublishedFile
from topography.storage import read_tensors_and_metadata

TRAIN_TEXT = " = A title = \n\n the cat sat on the mat , the <unk> did not \n" * 9
TEST_TEXT = " the mat sat on a cat \n" * 9


def cifar_archive(images: int = 4, cut: int = 0, without: str = "") -> bytes:
    """Uncompressed archive with this many images in each file; pixels say where they lie."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for file, name in enumerate((*cifar10.TRAIN, *cifar10.TEST)):
            records = np.zeros((images, cifar10.RECORD), np.uint8)
            records[:, 0] = np.arange(images) + file
            planes = records[:, 1:].reshape(images, 3, 32, 32)
            planes[:, 0], planes[:, 1], planes[:, 2] = 10, 20, 30
            planes[:, 2, 5, 7] = 200 + file
            body = records.tobytes()[: images * cifar10.RECORD - cut]
            if name != without:
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                archive.addfile(entry, io.BytesIO(body))
    return content.getvalue()


def wikitext_archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(wikitext2.TRAIN, TRAIN_TEXT)
        archive.writestr(wikitext2.TEST, TEST_TEXT)
    return content.getvalue()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both archives, whose checksums the loaders are told."""
    packed = gzip.compress(cifar_archive())
    for module, name, body in (
        (cifar10, "cifar-10-binary.tar.gz", packed),
        (wikitext2, "wikitext-2-v1.zip", wikitext_archive()),
    ):
        (tmp_path / name).write_bytes(body)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        file = PublishedFile(module.FILE.name, md5, suffix=module.FILE.suffix)
        monkeypatch.setattr(module, "FILE", file)
    return tmp_path


def test_cifar10_is_read_plane_by_plane(published: Path, tmp_path: Path) -> None:
    dataset = load_dataset("cifar10", tmp_path / "raw", str(published))
    assert dataset.train_images.shape == (20, 3, 32, 32)
    assert dataset.test_images.shape == (4, 3, 32, 32)
    assert dataset.train_labels.tolist() == [i + file for file in range(5) for i in range(4)]
    assert dataset.test_labels.tolist() == [5, 6, 7, 8]
    assert dataset.train_images[7, :, 0, 0].tolist() == [10, 20, 30]
    assert dataset.train_images[7, 2, 5, 7] == 201
    write_dataset(tmp_path / "cifar10.safetensors", dataset)
    read = read_dataset(tmp_path / "cifar10.safetensors", train_images=3)
    np.testing.assert_array_equal(read.train_images, dataset.train_images[:3])
    assert read.content == "colour"


@pytest.mark.parametrize(
    "wrong",
    [{"cut": 1}, {"without": cifar10.TRAIN[2]}, {"images": 0}],
    ids=["cut", "missing", "empty"],
)
def test_a_damaged_cifar10_is_refused(wrong: dict) -> None:
    with pytest.raises(DatasetError, match=r"cifar-10-binary.tar.gz has no whole"):
        cifar10.read_archive(cifar_archive(**wrong))


@pytest.mark.parametrize("name", ["cifar10", "wikitext2"])
def test_an_archive_with_another_checksum_is_refused(published: Path, name: str) -> None:
    module = {"cifar10": cifar10, "wikitext2": wikitext2}[name]
    path = published / module.FILE.archive
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DatasetError, match="its MD5 is"):
        load_dataset(name, published / "raw", str(published))


def test_wikitext2_is_words_and_ends_of_lines(published: Path, tmp_path: Path) -> None:
    dataset = load_dataset("wikitext2", tmp_path / "raw", str(published))
    words = [word for line in TRAIN_TEXT.splitlines() for word in [*line.split(), "<eos>"]]
    vocabulary = sorted({*TRAIN_TEXT.split(), *TEST_TEXT.split(), "<eos>"})
    assert dataset.provenance["tokens"] == str(len(vocabulary))
    stream = [vocabulary[number] for number in dataset.train_images.ravel()]
    following = [vocabulary[number] for number in dataset.train_labels.ravel()]
    assert stream == words[: len(stream)]
    assert following == words[1 : len(stream) + 1]
    assert dataset.train_images.shape[1] == _text.LENGTH


def test_any_text_file_is_a_dataset_of_characters(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    text = "Où est le chat ? " * 60
    file.write_text(text, encoding="utf-8")
    dataset = load_dataset("text", tmp_path, str(file))
    letters = sorted(set(text))
    stream = "".join(letters[number] for number in dataset.train_images.ravel())
    assert text.startswith(stream)
    last = "".join(letters[number] for number in dataset.test_images.ravel())
    following = "".join(letters[number] for number in dataset.test_labels.ravel())
    cut = round(0.9 * len(text))
    assert text[cut:].startswith(last)
    assert text[cut + 1 :].startswith(following)
    assert len(last) > len(text) - cut - 1 - _text.LENGTH  # all but what fills no sequence
    write_dataset(tmp_path / "text.safetensors", dataset)
    read = read_dataset(tmp_path / "text.safetensors", 5, 1)
    assert read.content == "tokens"
    np.testing.assert_array_equal(read.train_labels, dataset.train_labels[:5])
    assert read_tensors_and_metadata(tmp_path / "text.safetensors")[1]["tokens"] == str(
        len(letters)
    )


def test_texts_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="path of a text file"):
        load_dataset("text", tmp_path, str(tmp_path / "missing.txt"))
    (tmp_path / "short.txt").write_text("short")
    with pytest.raises(DatasetError, match="Give a longer text"):
        load_dataset("text", tmp_path, str(tmp_path / "short.txt"))
    with pytest.raises(DatasetError, match=r"wikitext-2-v1.zip is damaged"):
        wikitext2.read_archive(b"no zip")


def test_the_descriptions_need_no_file(tmp_path: Path) -> None:
    dataset = load_dataset("descriptions", tmp_path, "nowhere")
    assert dataset.content == "tokens"
    assert len(dataset.train_images) >= 1024
    assert len(dataset.test_images) >= 150
    assert int(dataset.provenance["tokens"]) == 92


@pytest.mark.parametrize(
    "images",
    [np.zeros((4, 1, 32, 32), np.uint8), np.zeros((4, 3, 28, 28), np.uint8)],
    ids=["planes", "size"],
)
def test_colour_images_of_other_shapes_are_refused(images: np.ndarray) -> None:
    labels = np.zeros(4, np.uint8)
    with pytest.raises(DatasetError, match=r"expected \[N, 3, 32, 32\]"):
        Dataset(images, labels, images, labels)


def test_tokens_without_followers_are_refused() -> None:
    tokens = np.zeros((4, 5), np.int32)
    with pytest.raises(DatasetError, match="expected int32"):
        Dataset(tokens, tokens[:, 1:], tokens, tokens)
    with pytest.raises(DatasetError, match="none negative"):
        Dataset(tokens, tokens - 1, tokens, tokens)
