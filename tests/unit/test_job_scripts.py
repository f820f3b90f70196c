"""The scripts of long jobs: they write what the library computes, keep their state apart from that
of other networks, and publish nothing once Snakemake is gone."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reference import data
from support.example_results import write_set
from topography import checkpoint, storage
from topography.architectures import get_architecture
from topography.checkpoint import Checkpoint
from topography.datasets import Dataset, write_dataset
from topography.jobs import common, converged_searches, orphans, path_searches
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.storage import read_table, read_tensors
from topography.training import initial_params, train

NETWORK = {"inputs": 784, "hidden": [3]}
PATHS = {
    "terms": 2,
    "points": 5,
    "fine_points": 9,
    "penalty": 1e-3,
    "steps": 3,
    "learning_rate": 0.01,
    "keep": "last",
    "images_per_step": None,
    "images_seed": 0,
    "precision": "exact",
}
CONVERGED = {
    "first": PATHS,
    "terms": [1, 2],
    "doublings": 1,
    "tolerance": 0.01,
    "points": 4,
    "learning_rate": 0.01,
    "images_per_step": 5,
}
SGD = {"epochs": 2, "batch_size": 4, "learning_rate": 0.1}
OUTPUTS = {
    "train": ("weights", "history", "runs"),
    "find_paths": ("output",),
    "converge_paths": ("output",),
}


class Scripts:
    """Scripts run in this process, on small made-up images and networks in a folder."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = patch
        self.states: list[Checkpoint] = []
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (14, 28, 28), dtype=np.uint8)
        self.labels = generator.integers(0, 10, 14, dtype=np.uint8)
        write_dataset(
            folder / "own.safetensors",
            Dataset(self.images[:8], self.labels[:8], self.images[8:], self.labels[8:]),
        )
        self.architecture = get_architecture("mlp", **NETWORK)
        self.write_networks(seed=0)
        storage.write_table(
            folder / "pairs.csv", pd.DataFrame({"i": [0, 0, 2], "j": [1, 2, 3]}, dtype=int)
        )
        patch.setattr(common, "set_up_device", lambda _: torch.device("cpu"))
        patch.setattr(checkpoint, "Checkpoint", self.state)

    def state(self, path: Path, identity: str) -> Checkpoint:
        """One that is saved at every opportunity, and leaves pytest its signals."""
        state = Checkpoint(path, identity, interval=0.0)
        state.stop_on_signals = lambda: None
        self.states.append(state)
        return state

    def write_networks(self, seed: int) -> None:
        """Four networks, in the file that jobs read them from."""
        count = self.architecture.parameter_count
        self.networks = data.random_vectors(4, count, 0.3, seed, dtype=torch.float32)
        write_set(self.folder / "sgd_train.safetensors", self.networks.numpy())

    def objective(self, part: str) -> Objective:
        chosen = slice(0, 8) if part == "train" else slice(8, 13)
        images = torch.from_numpy(self.images[chosen]).flatten(1).float() / 255.0
        labels = torch.from_numpy(self.labels[chosen]).long()
        return Objective(self.architecture, images, labels)

    def run(self, script: str, **changes: object) -> None:
        """Run one as the workflow does; changes: of its arguments."""
        of_networks = {
            "data": "own.safetensors",
            "train_images": 8,
            "test_images": 5,
            "architecture": "mlp",
            "architecture_settings": NETWORK,
            "checkpoint": "state",
        }
        between = {"set": "sgd_train.safetensors", "pairs": "pairs.csv", "output": "output"}
        own = {
            "train": {
                "optimizer": "sgd",
                "optimizer_settings": SGD,
                "first_seed": 3,
                "last_seed": 4,
                **{name: name for name in OUTPUTS["train"]},
            },
            "find_paths": {
                **between,
                "landscape": "test",
                "first": 1,
                "last": 2,
                "path_settings": PATHS,
            },
            "converge_paths": {**between, "count": 2, "settings": CONVERGED},
        }[script]
        arguments = []
        for name, value in {**of_networks, **own, **changes}.items():
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            arguments += [f"--{name.replace('_', '-')}", text]
        self.patch.chdir(self.folder)
        self.patch.setattr(sys, "argv", [f"{script}.py", *arguments])
        importlib.import_module(script).main()


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    return Scripts(tmp_path, monkeypatch)


def test_training_writes_what_the_library_trains(scripts: Scripts) -> None:
    scripts.run("train")
    training = train(
        scripts.objective("train"),
        scripts.objective("test"),
        get_optimizer("sgd", **SGD),
        [3, 4],
        initial_params(scripts.architecture, [3, 4]),
    )
    written = read_tensors(scripts.folder / "weights")
    assert written["seeds"].tolist() == [3, 4]
    for number, name in enumerate(["train_weights", "test_weights"]):
        np.testing.assert_array_equal(written[name], training.best_weights[:, number])
    history = read_table(scripts.folder / "history")
    np.testing.assert_allclose(history["test_loss"], training.curves[:, 1].flatten(), rtol=1e-6)
    assert history["epoch"].tolist() == [0, 1, 2] * 2
    runs = read_table(scripts.folder / "runs")
    assert runs["test_epoch"].tolist() == training.best_epochs[:, 1].tolist()


@pytest.mark.parametrize("part", ["train", "test"])
def test_paths_are_found_on_the_landscape_asked_for(scripts: Scripts, part: str) -> None:
    scripts.run("find_paths", landscape=part)
    expected = path_searches.find_and_measure(
        scripts.objective(part),
        scripts.networks,
        torch.tensor([[0, 2], [2, 3]]),
        path_searches.PathSettings(**PATHS),
        pairs_per_batch=2,
    )
    written, notes = storage.read_tensors_and_metadata(scripts.folder / "output")
    assert {"t", "fine_t", *expected} == written.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(written[name], values, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(written["fine_t"], np.linspace(0, 1, 9))
    assert (notes["set"], notes["landscape"]) == ("sgd_train", part)


def test_paths_are_searched_on_between_the_pairs_that_share_least(scripts: Scripts) -> None:
    scripts.run("converge_paths")
    settings = converged_searches.ConvergenceSettings.from_json(CONVERGED)
    pairs, train_images = torch.tensor([[0, 1], [2, 3]]), scripts.objective("train")
    rows = converged_searches.search(
        train_images,
        scripts.networks,
        pairs,
        settings,
        landscape_at=converged_searches.landscapes(train_images, settings),
        pairs_per_batch=1,
    )
    expected = converged_searches.named(rows, pairs.numpy(), np.array([0, 2]))
    written = read_table(scripts.folder / "output")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-6)
    assert set(written["pair"]) == {0, 2}


@pytest.mark.parametrize("script", OUTPUTS)
def test_an_orphan_publishes_nothing_and_keeps_its_state(scripts: Scripts, script: str) -> None:
    def refuse() -> None:
        raise orphans.OrphanedError("gone")

    scripts.patch.setattr(orphans, "refuse_orphan", refuse)
    with pytest.raises(orphans.OrphanedError):
        scripts.run(script)
    assert not any((scripts.folder / name).exists() for name in OUTPUTS[script])
    assert (scripts.folder / "state").exists()


@pytest.mark.parametrize("script", OUTPUTS)
def test_a_finished_job_leaves_no_state(scripts: Scripts, script: str) -> None:
    scripts.run(script)
    assert not (scripts.folder / "state").exists()
    assert all((scripts.folder / name).exists() for name in OUTPUTS[script])


def other_networks(scripts: Scripts) -> None:
    scripts.write_networks(seed=1)


def other_pairs(scripts: Scripts) -> None:
    table = pd.DataFrame({"i": [0, 1, 2], "j": [2, 3, 3]}, dtype=int)
    storage.write_table(scripts.folder / "pairs.csv", table)


def other_code(module: str) -> Callable[[Scripts], None]:
    def change(scripts: Scripts) -> None:
        before = common.code_id
        scripts.patch.setattr(
            common,
            "code_id",
            lambda *names: "other code" if module in names else before(*names),
        )

    return change


@pytest.mark.parametrize(
    ("script", "change"),
    [
        ("train", other_code("topography.architectures.mlp")),
        ("train", other_code("topography.optimizers.sgd")),
        ("find_paths", other_networks),
        ("find_paths", other_pairs),
        ("find_paths", other_code("topography.architectures.mlp")),
        ("converge_paths", other_networks),
        ("converge_paths", other_pairs),
        ("converge_paths", other_code("topography.architectures.mlp")),
    ],
)
def test_the_state_of_a_job_belongs_to_its_inputs_and_code(
    scripts: Scripts, script: str, change: Callable[[Scripts], None]
) -> None:
    """Files of the same names, and modules that are found by name at run time."""
    scripts.run(script)
    scripts.run(script)
    change(scripts)
    scripts.run(script)
    first, again, other = (state.identity for state in scripts.states)
    assert first == again
    assert other != first
