"""A checkpoint is resumed where all that its state depends on is the same, and nowhere else."""

import argparse
from pathlib import Path

import pytest

from topography import jobs


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    """Those of a training, some of them."""
    data = tmp_path / "digits.safetensors"
    data.write_bytes(b"images")
    return argparse.Namespace(
        data=data,
        first_seed=0,
        device="cpu",
        threads=1,
        checkpoint=tmp_path / "state",
        weights=tmp_path / "weights",
    )


def identity(arguments: argparse.Namespace, networks: str = "sum") -> str:
    modules = ["topography.architectures.fcp"]
    return jobs.identity(arguments, "train.py", modules, ["weights"], {"networks": networks})


@pytest.mark.parametrize("name", ["device", "threads", "checkpoint", "weights"])
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


def test_images_made_anew_under_the_same_name_matter(arguments: argparse.Namespace) -> None:
    before = identity(arguments)
    arguments.data.write_bytes(b"Images")
    assert identity(arguments) != before
