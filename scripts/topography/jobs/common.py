"""What the command lines of the computing stages have in common."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from topography.architectures.base import Architecture
from topography.device import (
    advice_when_out_of_memory,
    choose_device,
    limit_gpu_memory,
    set_up_processor,
)
from topography.images import load_images
from topography.jobs.command_line import count, settings
from topography.objective import Objective
from topography.storage import sha256_of_file
from topography.workflow.fingerprint import code_id

SCRIPTS = Path(__file__).parents[2]


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which networks are computed, on what data, where."""
    parser.add_argument(
        "--data", type=Path, required=True, help="dataset made by prepare_dataset.py"
    )
    parser.add_argument("--train-images", type=int, required=True, help="use the first N of these")
    parser.add_argument("--test-images", type=int, required=True, help="use the first N of these")
    parser.add_argument("--architecture", required=True, help="a file in topography/architectures")
    parser.add_argument(
        "--architecture-settings",
        type=settings,
        default={},
        help="JSON object, such as activation",
    )
    add_device_arguments(parser)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say where networks are computed; see `set_up_device`."""
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda")
    parser.add_argument(
        "--gpu-memory", type=float, default=1.0, help="share of a GPU's memory to use (default 1)"
    )
    parser.add_argument("--threads", type=count, default=1, help="CPU threads (default 1)")


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Argument of jobs that can be interrupted and go on."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="where an interrupted job keeps its state"
    )


def set_up_device(arguments: argparse.Namespace) -> torch.device:
    """The device to compute on; the processor is set up for it, and a GPU's memory limited."""
    set_up_processor(arguments.threads)
    device = choose_device(arguments.device)
    limit_gpu_memory(device, arguments.gpu_memory)
    return device


def load_objectives(
    arguments: argparse.Namespace, architecture: Architecture, device: torch.device
) -> dict[str, Objective]:
    """Objectives on the "train" and the "test" images, on the device; see `load_images`."""
    with advice_when_out_of_memory("The images do not fit: use fewer, or --config device=cpu."):
        dataset, train_images, test_images = load_images(
            arguments.data, arguments.train_images, arguments.test_images, architecture, device
        )
        parts = {
            "train": (train_images, dataset.train_labels),
            "test": (test_images, dataset.test_labels),
        }
        return {
            name: Objective(architecture, images, torch.from_numpy(labels).to(device).long())
            for name, (images, labels) in parts.items()
        }


def identity(
    arguments: argparse.Namespace,
    script: str,
    modules: list[str],
    outputs: list[str],
    inputs: dict[str, Any] | None = None,
) -> str:
    """Hash of everything a job's state depends on: its arguments, its code and its inputs.

    modules: those found by name at run time, such as "topography.optimizers.sgd". outputs:
    arguments that say where results go and do not matter. inputs: content of input files other
    than the images, since a file may change under the same name.
    """
    science = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in sorted(vars(arguments).items())
        if name not in {"device", "gpu_memory", "threads", "checkpoint", *outputs}
    }
    code = code_id(SCRIPTS, script, *modules)
    images = sha256_of_file(arguments.data)
    return hashlib.sha256(json.dumps([science, code, images, inputs]).encode()).hexdigest()
