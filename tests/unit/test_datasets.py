"""Datasets arrive as published, or there is an error; no test leaves this machine."""

import gzip
import hashlib
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

import topography.datasets
from support.faults import full_disk
from topography.datasets import (
    Dataset,
    DatasetError,
    dataset_names,
    image_counts,
    load_dataset,
    read_dataset,
    write_dataset,
)
from topography.storage import StorageError, read_tensors_and_metadata, write_tensors

ROOT = Path(__file__).parents[2]
MNIST_SOURCE = Path(os.environ.get("MNIST_SOURCE", ROOT.parent / "shared" / "data" / "mnist"))
needs_mnist = pytest.mark.skipif(
    not (MNIST_SOURCE / "train-images-idx3-ubyte.gz").is_file(),
    reason=f"no MNIST in {MNIST_SOURCE}; set MNIST_SOURCE to a folder with its four files",
)
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


# Any dataset --------------------------------------------------------------------------------------


def small_dataset() -> Dataset:
    """Five training and three test images, each filled with its own number."""
    images = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None], (8, 28, 28))
    labels = np.arange(8, dtype=np.uint8)
    return Dataset(images[:5], labels[:5], images[5:], labels[5:], {"dataset": "small"})


def test_all_datasets_are_found_by_name():
    assert dataset_names() == [
        "cifar10",
        "descriptions",
        "digits",
        "fashion_mnist",
        "mnist",
        "text",
        "wikitext2",
    ]


@pytest.mark.parametrize("name", ["emnist", "_idx", "", "os.path", "../mnist"])
def test_unknown_dataset_is_refused(tmp_path, name):
    with pytest.raises(
        DatasetError, match="known are cifar10, descriptions, digits, fashion_mnist, mnist"
    ):
        load_dataset(name, tmp_path, "download")


def test_a_new_module_is_a_new_dataset(tmp_path, monkeypatch):
    (tmp_path / "stripes.py").write_text(
        "import numpy as np\n"
        "from topography.datasets import Dataset\n"
        "def load(folder, source):\n"
        "    images, labels = np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8)\n"
        "    return Dataset(images, labels, images, labels, {'drawn': 'by hand'})\n"
    )
    monkeypatch.setattr(topography.datasets, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "topography.datasets.stripes", raising=False)
    dataset = load_dataset("stripes", tmp_path, "anywhere")
    assert dataset.provenance == {"dataset": "stripes", "drawn": "by hand"}


def test_first_images_of_a_written_dataset_are_read(tmp_path):
    file = tmp_path / "small.safetensors"
    write_dataset(file, small_dataset())
    dataset = read_dataset(file, train_images=2, test_images=1)
    assert dataset.train_labels.tolist() == [0, 1]
    assert dataset.test_labels.tolist() == [5]
    assert dataset.train_images[:, 0, 0].tolist() == [0, 1]
    assert dataset.test_images.shape == (1, 28, 28)
    assert dataset.provenance == {"dataset": "small"}


def test_the_numbers_of_images_are_told_without_reading_them(tmp_path, digits):
    path = tmp_path / "digits.safetensors"
    write_dataset(path, digits)
    counts = {"train": len(digits.train_labels), "test": len(digits.test_labels)}
    assert image_counts(path) == counts
    path.write_bytes(b"nothing")
    with pytest.raises(StorageError, match="damaged"):
        image_counts(path)


def test_all_images_are_read_by_default(tmp_path):
    file = tmp_path / "small.safetensors"
    write_dataset(file, small_dataset())
    dataset = read_dataset(file)
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (5, 3)


@pytest.mark.parametrize("counts", [(6, None), (None, 4), (0, None), (-1, None)])
def test_more_images_than_there_are_is_an_error(tmp_path, counts):
    file = tmp_path / "small.safetensors"
    write_dataset(file, small_dataset())
    with pytest.raises(DatasetError, match=r"has [53] (train|test) images, but .* asked for"):
        read_dataset(file, *counts)


def test_a_file_that_is_no_dataset_is_refused(tmp_path):
    write_tensors(tmp_path / "weights.safetensors", {"weights": np.zeros((2, 3))})
    with pytest.raises(StorageError, match="'train_images' is missing"):
        read_dataset(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"train_images": np.zeros((5, 28, 28))}, "types float64"),
        ({"train_images": np.zeros((4, 28, 28), np.uint8)}, r"shapes \(4, 28, 28\) and \(5,\)"),
        ({"test_images": np.zeros((3, 8, 8), np.uint8)}, r"shapes \(3, 8, 8\)"),
        ({"test_labels": np.full(3, 10, np.uint8)}, "test labels reach 10"),
    ],
)
def test_an_inconsistent_dataset_is_refused(change, complaint):
    with pytest.raises(DatasetError, match=complaint):
        replace(small_dataset(), **change)


# Digits -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Dataset:
    return load_dataset("digits", tmp_path_factory.mktemp("raw"), "download")


def test_digits_are_all_there_once(digits):
    from sklearn.datasets import load_digits

    original = load_digits()
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert (len(digits.train_labels), len(digits.test_labels)) == (1500, 297)
    # The middle pixel of each block, back on the scale of the original.
    small = images[:, 3:26:3, 3:26:3] / 255 * 16
    found = sorted(
        (int(label), *np.rint(image).astype(int).ravel())
        for label, image in zip(labels, small, strict=True)
    )
    expected = sorted(
        (int(label), *image.astype(int).ravel())
        for label, image in zip(original.target, original.images, strict=True)
    )
    assert found == expected


def test_digits_are_blocks_within_a_border(digits):
    image = digits.train_images[0]
    assert image.dtype == np.uint8
    assert image.max() <= 255
    for border in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
        assert not border.any()
    blocks = image[2:-2, 2:-2].reshape(8, 3, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_digits_use_the_whole_grey_scale():
    from topography.datasets.digits import enlarge

    grey = enlarge(np.array([0, 1, 8, 16], np.uint8).repeat(64).reshape(4, 8, 8))[:, 14, 14]
    assert grey.tolist() == [0, 16, 128, 255]


def test_digits_are_shuffled_the_same_way_everywhere(digits):
    assert digits.provenance["sha256 of labels"] == (
        "0f9ffd7948cafb397f7a000b667568d2e6ff757cc70e9e96e7ac289f51898d6f"
    )
    assert digits.provenance["sha256 of images"] == (
        "4c12203841a570aae396e9355cf032679cf58307003eb86f4da6e72bbe8ad15a"
    )
    assert np.bincount(digits.test_labels).min() > 15


# The script ---------------------------------------------------------------------------------------


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT / "scripts", capture_output=True, text=True
    )


def test_script_writes_a_dataset_without_the_weight_of_torch(tmp_path, digits):
    output = tmp_path / "data" / "digits.safetensors"
    arguments = ["--dataset=digits", f"--raw-folder={tmp_path / 'raw'}", f"--output={output}"]
    finished = run_python(
        "-c",
        "import sys, prepare_dataset\n"
        "assert not {'torch', 'pandas', 'sklearn'} & set(sys.modules)\n"
        f"sys.argv[1:] = {arguments}\n"
        "prepare_dataset.main()\n"
        "assert 'torch' not in sys.modules\n",
    )
    assert finished.returncode == 0, finished.stderr
    assert (
        finished.stderr
        == f"{output}: 1500 training and 297 test images of digits, source: download\n"
    )
    np.testing.assert_array_equal(read_dataset(output).train_images, digits.train_images)
    assert read_tensors_and_metadata(output)[1] == digits.provenance


def test_script_shows_an_expected_error_as_one_line(tmp_path):
    finished = run_python(
        "prepare_dataset.py", "--dataset=emnist", f"--raw-folder={tmp_path}", "--output=nothing"
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: Unknown dataset 'emnist'")
    assert finished.stderr.count("\n") == 1


# Real MNIST ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist(tmp_path_factory) -> Dataset:
    return load_dataset("mnist", tmp_path_factory.mktemp("raw"), str(MNIST_SOURCE))


@needs_mnist
def test_mnist_is_mnist(mnist):
    assert mnist.train_images.shape == (60000, 28, 28)
    assert mnist.test_images.shape == (10000, 28, 28)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert np.bincount(mnist.train_labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]


@needs_mnist
def test_mnist_says_what_it_is_made_of(mnist, tmp_path):
    write_dataset(tmp_path / "mnist.safetensors", mnist)
    assert read_tensors_and_metadata(tmp_path / "mnist.safetensors")[1] == {
        "dataset": "mnist",
        **{f"sha256 of {name}": value for name, value in MNIST_SHA256.items()},
    }


@needs_mnist
def test_uncompressed_files_and_file_mirrors_work(mnist, tmp_path):
    mirror = tmp_path / "a mirror"
    mirror.mkdir()
    for archive in MNIST_SOURCE.glob("*.gz"):
        (mirror / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))
    dataset = load_dataset("mnist", tmp_path / "raw", mirror.as_uri())
    assert dataset.provenance == mnist.provenance
    np.testing.assert_array_equal(dataset.test_images, mnist.test_images)
    np.testing.assert_array_equal(dataset.train_labels, mnist.train_labels)
    assert list((tmp_path / "raw").iterdir()) == []


@needs_mnist
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "flipped inside", "missing"])
def test_a_damaged_file_of_mnist_is_named_and_kept(tmp_path, name, damage):
    for archive in MNIST_SOURCE.glob("*.gz"):
        (tmp_path / archive.name).symlink_to(archive.resolve())
    victim = tmp_path / f"{name}.gz"
    content = bytearray(victim.read_bytes())
    victim.unlink()
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "flipped inside":  # a sound archive of other data
        inside = bytearray(gzip.decompress(content))
        inside[-1] ^= 1
        content = gzip.compress(inside, compresslevel=1)
    if damage != "missing":
        victim.write_bytes(content)
    files = sorted(tmp_path.iterdir())
    complaint = {
        "truncated": r"it cannot be unpacked \(Compressed file ended",
        "flipped": "(cannot be unpacked|SHA-256)",
        "flipped inside": f"uncompressed content is [0-9a-f]{{64}}, expected {MNIST_SHA256[name]}",
        "missing": "is missing",
    }[damage]
    with pytest.raises(DatasetError, match=f"{victim.name}.*{complaint}"):
        load_dataset("mnist", tmp_path / "raw", str(tmp_path))
    assert sorted(path for path in tmp_path.iterdir() if path.name != "raw") == files


# Sources and downloads, with four tiny files ------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    """Bytes of an IDX file of unsigned bytes: magic number, big-endian sizes, values."""
    sizes = np.array(array.shape, ">i4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture(scope="module")
def archives() -> dict[str, bytes]:
    small = small_dataset()
    return {
        "train-images.gz": gzip.compress(idx(small.train_images)),
        "train-labels.gz": gzip.compress(idx(small.train_labels)),
        "test-images.gz": gzip.compress(idx(small.test_images)),
        "test-labels.gz": gzip.compress(idx(small.test_labels)),
    }


@pytest.fixture
def load_small(archives, tmp_path):
    """Loader of the tiny files: ``load_small(source, sha256_known=True)``."""
    from topography.datasets._idx import IdxFiles, load_idx
    from topography.datasets._published import PublishedFile

    def load(source: str, sha256_known: bool = True) -> Dataset:
        files = []
        for name, content in archives.items():
            sha256 = hashlib.sha256(gzip.decompress(content)).hexdigest()
            md5 = hashlib.md5(content).hexdigest()
            name = name.removesuffix(".gz")
            files.append(PublishedFile(name, md5, sha256 if sha256_known else None))
        mirrors = ["https://dead.invalid/", "https://mirror.invalid/small/"]
        return load_idx(IdxFiles(*files), mirrors, tmp_path / "raw", source)

    return load


class FakeMirror(urllib.request.BaseHandler):
    """Stands in for the https transport: serves ``https://mirror.invalid/small/`` from memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []

    def https_open(self, request: urllib.request.Request) -> io.BytesIO:
        self.requests.append(f"{request.get_method()} {request.full_url}")
        if request.host != "mirror.invalid":
            raise urllib.error.URLError("no such host")
        content = self.files[request.full_url.removeprefix("https://mirror.invalid/small/")]
        response = io.BytesIO(content)
        response.url, response.length = request.full_url, len(content)
        response.code, response.msg, response.info = 200, "OK", Message
        return response


@pytest.fixture
def mirror(monkeypatch, archives) -> FakeMirror:
    fake = FakeMirror()
    fake.files = dict(archives)
    monkeypatch.setattr(urllib.request, "HTTPSHandler", lambda: fake)
    return fake


def assert_small(dataset: Dataset) -> None:
    small = small_dataset()
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(small, name), strict=True)


def test_download_tries_one_mirror_after_the_other(load_small, mirror, archives, tmp_path):
    assert_small(load_small("download"))
    assert "GET https://dead.invalid/train-images.gz" in mirror.requests
    assert {file.name for file in (tmp_path / "raw").iterdir()} == set(archives)


def test_archives_already_there_are_not_fetched_again(load_small, mirror):
    load_small("download")
    mirror.requests.clear()
    assert_small(load_small("download"))
    assert mirror.requests == []


def test_a_damaged_archive_in_the_cache_is_fetched_again(load_small, mirror, tmp_path):
    load_small("download")
    mirror.requests.clear()
    (tmp_path / "raw" / "train-labels.gz").write_bytes(b"cut")
    assert_small(load_small("download"))
    assert {request.rsplit("/")[-1] for request in mirror.requests} == {"train-labels.gz"}


def test_an_https_mirror_can_be_the_source(load_small, mirror):
    dataset = load_small("https://mirror.invalid/small")
    assert_small(dataset)
    assert not any("dead.invalid" in request for request in mirror.requests)


@pytest.mark.parametrize("arrives", [b"", b"an error page", "half"])
def test_a_damaged_download_is_removed(load_small, mirror, archives, tmp_path, arrives):
    sound = archives["test-images.gz"]
    arrives = sound[: len(sound) // 2] if arrives == "half" else arrives
    mirror.files["test-images.gz"] = arrives
    actual, expected = hashlib.md5(arrives).hexdigest(), hashlib.md5(sound).hexdigest()
    with pytest.raises(
        DatasetError, match=f"small/test-images.gz: .* MD5 {actual}, expected {expected}"
    ):
        load_small("download")
    assert not (tmp_path / "raw" / "test-images.gz").exists()
    mirror.files["test-images.gz"] = sound
    assert_small(load_small("download"))


def test_all_mirrors_dead_says_so(load_small, mirror):
    with pytest.raises(
        DatasetError,
        match=r"Cannot download train-images.gz: https://nowhere.invalid/.*no such host",
    ):
        load_small("https://nowhere.invalid")


def test_a_folder_that_cannot_be_written_is_named(load_small, mirror, tmp_path):
    (tmp_path / "raw").write_text("a file in the way")
    with pytest.raises(StorageError, match=f"Cannot write {tmp_path / 'raw'}"):
        load_small("download")


def test_a_full_disk_is_not_blamed_on_the_mirror(load_small, mirror):
    with full_disk(16), pytest.raises(StorageError, match=r"Cannot write .*train-images.gz"):
        load_small("https://mirror.invalid/small")


def test_sound_archives_of_other_data_are_refused(load_small, archives, tmp_path):
    for name, content in archives.items():
        (tmp_path / name).write_bytes(content)
    other = bytearray(gzip.decompress(archives["test-labels.gz"]))
    other[-1] ^= 1
    (tmp_path / "test-labels.gz").write_bytes(gzip.compress(other))
    with pytest.raises(DatasetError, match=r"test-labels.gz .* SHA-256 .*, expected"):
        load_small(str(tmp_path))


@pytest.mark.parametrize(
    "source", ["http://mirror.invalid/small", "ftp://mirror.invalid", "file://elsewhere/small"]
)
def test_other_transports_are_refused(load_small, mirror, source):
    with pytest.raises(DatasetError, match="neither https:// nor a local file"):
        load_small(source)
    assert mirror.requests == []


def test_http_is_refused_even_inside_the_downloader():
    from topography.datasets._published import RefusedHttp, _https_only

    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with _https_only(), pytest.raises(RefusedHttp, match="is not https"):
                urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/file")
        finally:
            server.shutdown()
    assert requests == []
    assert socket.getdefaulttimeout() is None


def test_files_without_sha256_need_their_original_archives(load_small, archives, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    assert_small(load_small(str(folder), sha256_known=False))

    repacked = gzip.compress(gzip.decompress(archives["train-labels.gz"]), mtime=1)
    (folder / "train-labels.gz").write_bytes(repacked)
    assert_small(load_small(str(folder), sha256_known=True))
    with pytest.raises(DatasetError, match=r"train-labels.gz .* its MD5 is .*, expected"):
        load_small(str(folder), sha256_known=False)

    (folder / "train-labels.gz").unlink()
    (folder / "train-labels").write_bytes(gzip.decompress(repacked))
    with pytest.raises(DatasetError, match=r"train-labels cannot be checked"):
        load_small(str(folder), sha256_known=False)


def test_fashion_mnist_is_checked_by_the_sums_of_torchvision(tmp_path):
    from topography.datasets import fashion_mnist

    assert fashion_mnist.FILES.train_images.archive_md5 == "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
    assert all(mirror.startswith("https://") for mirror in fashion_mnist.MIRRORS)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"digits"))
    with pytest.raises(DatasetError, match="8d4fb7e6c68d591d4c3dfef9ec88bf0d"):
        load_dataset("fashion_mnist", tmp_path / "raw", str(tmp_path))
