"""Weights from elsewhere: what is read is what was saved, and nothing dangerous is read at all."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

import import_weights
from topography import storage
from topography.analysis import selection
from topography.datasets import Dataset, write_dataset
from topography.external import ExternalWeightsError, read_vectors
from topography.jobs import command_line

PARAMETERS = 5


def saved(path: Path, vectors: object) -> Path:
    if path.suffix == ".npy":
        np.save(path, vectors)
    else:
        save_file({"anything": torch.as_tensor(np.ascontiguousarray(vectors))}, path)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", ["weights.npy", "weights.safetensors"])
def test_vectors_come_back_as_float32(tmp_path: Path, name: str, kind: type) -> None:
    vectors = np.random.default_rng(0).normal(size=(3, PARAMETERS)).astype(kind)
    read = read_vectors(saved(tmp_path / name, vectors), PARAMETERS)
    assert read.dtype == np.float32
    assert np.array_equal(read, vectors.astype(np.float32))


GOOD = np.ones((3, PARAMETERS))


@pytest.mark.parametrize("name", ["weights.npy", "weights.safetensors"])
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (GOOD[:, :4], r"shape \[3, 4\], expected \[n, 5\]"),
        (GOOD.T, r"shape \[5, 3\], expected \[n, 5\]"),
        (GOOD[0], r"shape \[5\], expected"),
        (GOOD[:1], r"n of at least 2"),
        (GOOD.astype(int), "not floating-point"),
        (np.where(np.arange(15).reshape(3, 5) == 6, np.nan, GOOD), r"rows \[1\]"),
        (np.where(np.arange(15).reshape(3, 5) == 14, np.inf, GOOD), r"rows \[2\]"),
        (1e300 * GOOD, "beyond float32"),
    ],
)
def test_what_cannot_be_networks_is_refused(tmp_path: Path, name, vectors, message) -> None:
    with pytest.raises(ExternalWeightsError, match=message):
        read_vectors(saved(tmp_path / name, vectors), PARAMETERS)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_objects_and_pickles_are_refused_without_being_loaded(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "sprung")
    objects = np.empty((2, PARAMETERS), dtype=object)
    objects[:] = trap
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    for name in ("pickle.npy", "pickle.pt", "pickle.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(trap))
    np.savez(tmp_path / "archive.npz", GOOD)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    for name in ("objects.npy", "pickle.npy", "pickle.pt", "pickle.safetensors", "archive.npy"):
        with pytest.raises(ExternalWeightsError, match="never loaded"):
            read_vectors(tmp_path / name, PARAMETERS)
    assert not trap.path.exists()


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    for name in ("weights.npy", "weights.safetensors"):
        with pytest.raises(ExternalWeightsError, match="No such file"):
            read_vectors(tmp_path / name, PARAMETERS)
        content = saved(tmp_path / name, GOOD).read_bytes()
        for length in (0, 10, len(content) - 8):
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(ExternalWeightsError, match="Cannot read"):
                read_vectors(tmp_path / name, PARAMETERS)
    saved(tmp_path / "weights.npy", GOOD)
    header = (tmp_path / "weights.npy").read_bytes()
    enormous = header.replace(b"(3, 5)", b"(9" + b"9" * 12 + b", 5)").replace(b" " * 12, b"", 1)
    for content in (b"PK\x03\x04" + 40 * b"\0", header.replace(b"}", b"'"), enormous):
        (tmp_path / "weights.npy").write_bytes(content)
        with pytest.raises(ExternalWeightsError, match="Cannot read"):
            read_vectors(tmp_path / "weights.npy", PARAMETERS)
    save_file({"a": torch.ones(2, 5), "b": torch.ones(2, 5)}, tmp_path / "two.safetensors")
    with pytest.raises(ExternalWeightsError, match="2 tensors"):
        read_vectors(tmp_path / "two.safetensors", PARAMETERS)
    save_file({"a": torch.ones(2, 5, dtype=torch.bfloat16)}, tmp_path / "brain.safetensors")
    with pytest.raises(ExternalWeightsError, match="Cannot read"):
        read_vectors(tmp_path / "brain.safetensors", PARAMETERS)


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Dataset]:
    """Random images as a dataset file, and the dataset."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 10, 60).astype(np.uint8)
    content = Dataset(images[:40], labels[:40], images[40:], labels[40:])
    write_dataset(tmp_path / "data.safetensors", content)
    return tmp_path / "data.safetensors", content


def test_losses_are_those_of_pytorch_and_the_selection_takes_the_files(
    data, tmp_path: Path, monkeypatch
) -> None:
    file, content = data
    network = nn.Sequential(
        nn.Linear(784, 50, bias=False),
        nn.Softplus(),
        nn.Linear(50, 50, bias=False),
        nn.Softplus(),
        nn.Linear(50, 10, bias=False),
    )
    shift = torch.randn(42_200, generator=torch.Generator().manual_seed(0)) / 30
    vector = nn.utils.parameters_to_vector(network.parameters()).detach()
    vectors = {"train": torch.stack([vector, shift]), "test": torch.stack([shift, vector])}
    np.save(tmp_path / "train.npy", vectors["train"].numpy())
    save_file({"w": vectors["test"]}, tmp_path / "test.safetensors")
    outputs = {"--weights": tmp_path / "0.safetensors", "--runs": tmp_path / "0.runs.csv"}
    arguments = {
        "--data": file,
        "--train-images": 30,
        "--test-images": 20,
        "--architecture": "fcp",
        "--architecture-settings": '{"activation": "softplus"}',
        "--device": "cpu",
        "--train-set": tmp_path / "train.npy",
        "--test-set": tmp_path / "test.safetensors",
        "--first-seed": 1000,
        **outputs,
    }
    parts = [str(part) for pair in arguments.items() for part in pair]
    monkeypatch.setattr("sys.argv", ["command", *parts])
    command_line.run(import_weights.main)

    runs = storage.read_table(outputs["--runs"])
    assert runs["seed"].tolist() == list(range(1000, 1000 + len(vectors["train"])))
    images = {"train": content.train_images[:30], "test": content.test_images}
    labels = {"train": content.train_labels[:30], "test": content.test_labels}
    for name in ("train", "test"):
        inputs = torch.from_numpy(images[name]).flatten(1).double() / 255
        targets = torch.from_numpy(labels[name]).long()
        for row, found in zip(vectors[name], runs[f"{name}_loss"], strict=True):
            nn.utils.vector_to_parameters(row, network.parameters())
            with torch.no_grad():
                expected = functional.cross_entropy(network.double()(inputs), targets)
            network.float()
            assert found == pytest.approx(expected.item(), rel=1e-5)

    trained = selection.read_trained([outputs["--weights"]], [outputs["--runs"]])
    for name in ("train", "test"):
        assert torch.equal(torch.from_numpy(trained.weights[name]), torch.as_tensor(vectors[name]))
    ranked = selection.rank_runs(trained, 2)
    assert sorted(ranked["rank"]) == [1, 2]


def test_both_checkpoints_must_be_of_the_same_networks(
    data, tmp_path: Path, monkeypatch, capsys
) -> None:
    np.save(tmp_path / "train.npy", np.ones((3, 42_200)))
    np.save(tmp_path / "test.npy", np.ones((2, 42_200)))
    arguments = ["--data", data[0], "--train-images", 30, "--test-images", 20]
    arguments += ["--architecture", "fcp", "--architecture-settings", '{"activation": "relu"}']
    arguments += ["--train-set", tmp_path / "train.npy", "--test-set", tmp_path / "test.npy"]
    arguments += ["--first-seed", 0]
    arguments += ["--weights", tmp_path / "w.safetensors", "--runs", tmp_path / "r.csv"]
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments), "--device", "cpu"])
    with pytest.raises(SystemExit):
        command_line.run(import_weights.main)
    assert "holds 3 networks" in capsys.readouterr().err
    assert not (tmp_path / "w.safetensors").exists()
