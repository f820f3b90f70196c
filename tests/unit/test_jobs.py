"""A checkpoint is resumed where all that its state depends on is the same, and nowhere else; images
that the network does not read are refused."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from topography.architectures import get_architecture
from topography.datasets import Dataset, write_dataset
from topography.errors import TopographyError
from topography.jobs import common


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    """Those of a training, some of them."""
    data = tmp_path / "digits.safetensors"
    data.write_bytes(b"images")
    return argparse.Namespace(
        data=data,
        first_seed=0,
        device="cpu",
        gpu_memory=1.0,
        threads=1,
        checkpoint=tmp_path / "state",
        weights=tmp_path / "weights",
    )


def identity(arguments: argparse.Namespace, networks: str = "sum") -> str:
    modules = ["topography.architectures.fcp"]
    return common.identity(arguments, "train.py", modules, ["weights"], {"networks": networks})


@pytest.mark.parametrize("name", ["device", "gpu_memory", "threads", "checkpoint", "weights"])
def test_where_and_how_a_job_computes_does_not_matter(
    arguments: argparse.Namespace, name: str
) -> None:
    before = identity(arguments)
    setattr(arguments, name, "other")
    assert identity(arguments) == before


def test_settings_and_inputs_matter(arguments: argparse.Namespace) -> None:
    before = identity(arguments)
    assert identity(arguments, networks="another sum") != before
    arguments.first_seed = 1
    assert identity(arguments) != before


def test_code_matters(arguments: argparse.Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(arguments)
    monkeypatch.setattr(common, "code_id", lambda *_: "other code")
    assert identity(arguments) != before


def test_images_made_anew_under_the_same_name_matter(arguments: argparse.Namespace) -> None:
    before = identity(arguments)
    arguments.data.write_bytes(b"Images")
    assert identity(arguments) != before


# Images -------------------------------------------------------------------------------------------

COLOUR = np.arange(4 * 3072, dtype=np.uint8).reshape(4, 3, 32, 32)
GREY = COLOUR[:, 0, :28, :28].copy()
LABELS = np.arange(4, dtype=np.uint8)
TOKENS = np.arange(4 * 35, dtype=np.int32).reshape(4, 35)
COLOUR_MLP = {"inputs": 3072, "hidden": [4]}
LANGUAGE_MODEL = {"tokens": 140, "features": 8, "layers": 1}


def objectives(
    folder: Path, images: np.ndarray, labels: np.ndarray, name: str, settings: dict
) -> dict:
    """Those of a network on a dataset whose two parts are alike, of which all but one are used."""
    write_dataset(folder / "own.safetensors", Dataset(images, labels, images, labels))
    arguments = argparse.Namespace(data=folder / "own.safetensors", train_images=3, test_images=2)
    architecture = get_architecture(name, **settings)
    return common.load_objectives(arguments, architecture, torch.device("cpu"))


def test_pixels_are_scaled_whatever_their_colour(tmp_path: Path) -> None:
    for images, name, settings in ((GREY, "fcp", {}), (COLOUR, "mlp", COLOUR_MLP)):
        made = objectives(tmp_path, images, LABELS, name, settings)
        expected = images.reshape(4, -1) / np.float32(255)
        np.testing.assert_array_equal(made["train"].images, expected[:3])
        np.testing.assert_array_equal(made["test"].images, expected[:2])
        assert made["train"].labels.tolist() == [0, 1, 2]


def test_tokens_stay_numbers_of_tokens(tmp_path: Path) -> None:
    made = objectives(tmp_path, TOKENS, TOKENS, "transformer", LANGUAGE_MODEL)
    assert made["train"].images.dtype == torch.int64
    np.testing.assert_array_equal(made["train"].images, TOKENS[:3])
    np.testing.assert_array_equal(made["train"].labels, TOKENS[:3])


@pytest.mark.parametrize(
    ("images", "labels", "name", "settings", "said"),
    [
        (COLOUR, LABELS, "fcp", {}, "images of 3072 numbers.* fcp reads images of 784 numbers"),
        (COLOUR, LABELS, "lstm", {}, "images of 3072 numbers.* lstm reads images of 784 numbers"),
        (GREY, LABELS, "mlp", COLOUR_MLP, "images of 784 numbers.* mlp reads images of 3072"),
        (TOKENS, TOKENS, "lstm", {}, "texts.* lstm reads images of 784 numbers"),
        (TOKENS, TOKENS, "mlp", {"inputs": 35}, "texts.* mlp reads images of 35 numbers"),
        (GREY, LABELS, "transformer", LANGUAGE_MODEL, "images of 784 .* transformer reads texts"),
    ],
)
def test_a_network_that_cannot_read_the_images_is_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, name: str, settings: dict, said: str
) -> None:
    with pytest.raises(TopographyError, match=rf"own\.safetensors holds {said}.*Choose") as refused:
        objectives(tmp_path, images, labels, name, settings)
    assert "inputs" in str(refused.value)
