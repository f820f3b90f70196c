"""Scripts of long jobs, run in the process of a test on small made-up images and networks."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from reference import data
from support.example_results import write_set
from topography import storage
from topography.architectures import get_architecture
from topography.checkpoint import Checkpoint
from topography.datasets import Dataset, write_dataset
from topography.objective import Objective

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
    """What they read and write is in a folder."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        architecture: str,
        **settings: Any,
    ) -> None:
        """settings: of the architecture."""
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
        self.architecture = get_architecture(architecture, **settings)
        self.architecture_settings = settings
        self.write_networks(seed=0)
        storage.write_table(
            folder / "pairs.csv", pd.DataFrame({"i": [0, 0, 2], "j": [1, 2, 3]}, dtype=int)
        )
        self.watch_states()

    def watch_states(self) -> None:
        """Save states at every opportunity, remember them, and leave pytest its signals."""
        make = Checkpoint.__init__

        def make_eager(state: Checkpoint, path: Path, identity: str) -> None:
            make(state, path, identity, interval=0.0)
            self.states.append(state)

        self.patch.setattr(Checkpoint, "__init__", make_eager)
        self.patch.setattr(Checkpoint, "stop_on_signals", lambda _: None)

    def write_networks(self, seed: int) -> None:
        """Four networks, in the file that jobs read them from."""
        count = self.architecture.parameter_count
        self.networks = data.random_vectors(4, count, 0.05, seed, dtype=torch.float32)
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
            "architecture": self.architecture.name,
            "architecture_settings": self.architecture_settings,
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
