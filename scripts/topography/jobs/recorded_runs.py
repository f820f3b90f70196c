"""One recorded run: from its settings, as in `config.yaml` under `geometry`, to its records."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from topography import geometry, ratios
from topography.architectures import get_architecture
from topography.architectures.base import Architecture
from topography.datasets import TOKENS
from topography.functions import FunctionObjective, get_function
from topography.images import load_images
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import Observer, Optimizer
from topography.randomness import generator
from topography.training import Training, initial_params

Settings = Mapping[str, Any]

END = "end"  # the reference that every run has: where its own training ends
OTHER_SEEDS = 1_000_000  # added to the seeds of a run for those of its controls


@dataclass(frozen=True)
class Recording:
    """What one run left.

    seeds: S integers. references: names of the R reference points. steps_per_epoch: T / epochs.
    records: see `Recorder.records`. probes: see
    `Probes.table`, empty where the run has none. losses: final train and test losses, [S, 2].
    """

    seeds: list[int]
    references: list[str]
    steps_per_epoch: int
    records: ratios.Records
    probes: pd.DataFrame
    losses: np.ndarray


def record_run(settings: Settings, data: Path | None, device: torch.device) -> Recording:
    """Train a run twice, the second time observed, and the trainings that its controls need.

    data: file of the run's dataset; none for a function.

    Raises:
        GeometryError: see `geometry.record_twice`.
        TopographyError: the settings or the data cannot be used.
    """
    seeds = list(range(settings["first_seed"], settings["first_seed"] + settings["seeds"]))
    optimizer = get_optimizer(settings["optimizer"], **settings["optimizer_settings"])
    if settings["function"] is not None:
        function = get_function(settings["function"], seeds, **settings["function_settings"])
        return _recorded(settings, function, function, optimizer, seeds, function.initial_params())
    architecture = get_architecture(settings["architecture"], **settings["architecture_settings"])
    train_objective, test_objective = load_objectives(settings, data, architecture, device)
    params = initial_params(architecture, seeds).to(device)
    return _recorded(settings, train_objective, test_objective, optimizer, seeds, params)


def _recorded(
    settings: Settings,
    train_objective: Objective | FunctionObjective,
    test_objective: Objective | FunctionObjective,
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor,
) -> Recording:
    references = {}
    if settings["controls"]:
        references = control_references(
            settings, train_objective, test_objective, optimizer, seeds, params
        )
    watching: list[Observer] = []

    def observers(ends: Tensor) -> list[Observer]:
        watching.append(geometry.Recorder(torch.stack([ends, *references.values()], dim=1)))
        if settings["probes"] is not None:
            probed = probe_objectives(settings["probes"], train_objective, test_objective)
            watching.append(geometry.Probes(probed, ends, settings["probes"]["interval"]))
        return watching

    training = geometry.record_twice(
        train_objective, test_objective, optimizer, seeds, params, observers
    )
    records = watching[0].records()
    return Recording(
        seeds=seeds,
        references=[END, *references],
        steps_per_epoch=records["loss"].shape[1] // optimizer.epochs,
        records=records,
        probes=watching[1].table() if len(watching) > 1 else pd.DataFrame(),
        losses=training.curves[:, :, -1].numpy(),
    )


def load_objectives(
    settings: Settings, data: Path, architecture: Architecture, device: torch.device
) -> tuple[Objective, Objective]:
    """Objectives on the train and the test images of a run, on the device."""
    images = settings["images"]
    dataset, train_images, test_images = load_images(
        data, images["train"], images["test"], architecture, device
    )
    if dataset.content == TOKENS:
        _check_vocabulary(settings, dataset.provenance["tokens"])
    elif settings["standardise"]:
        mean, deviation = train_images.mean(), train_images.std()
        train_images, test_images = (
            (part - mean) / deviation for part in (train_images, test_images)
        )
    train_labels = torch.from_numpy(dataset.train_labels).long()
    train_labels = with_label_noise(train_labels, settings["label_noise"]).to(device)
    test_labels = torch.from_numpy(dataset.test_labels).to(device).long()
    return (
        Objective(architecture, train_images, train_labels),
        Objective(architecture, test_images, test_labels),
    )


def _check_vocabulary(settings: Settings, tokens: str) -> None:
    """The network knows exactly the tokens of the text."""
    known = settings["architecture_settings"].get("tokens")
    if str(known) != tokens:
        raise geometry.GeometryError(
            f"The dataset {settings['dataset']} has {tokens} different tokens, the network takes "
            f"{known}. Set architecture_settings.tokens of the run to {tokens}."
        )


def with_label_noise(labels: Tensor, fraction: float) -> Tensor:
    """Labels [N] of which this fraction, drawn with a fixed seed, was drawn anew from all labels.

    The labels drawn are those of random images, so that classes keep their shares.
    """
    random = generator(0, "label noise")
    count = round(fraction * len(labels))
    chosen = torch.randperm(len(labels), generator=random)[:count]
    noisy = labels.clone()
    noisy[chosen] = labels[torch.randint(len(labels), (count,), generator=random)]
    return noisy


def control_references(
    settings: Settings,
    train_objective: Objective,
    test_objective: Objective,
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor,
) -> dict[str, Tensor]:
    """Points [S, P] that are not where the run ends, by name.

    other order: end of the same training with other minibatches. longer: end of one of twice as
    many epochs. other initialisation: end from other weights, with other minibatches. untrained:
    the start of the latter.
    """
    others = [seed + OTHER_SEEDS for seed in seeds]
    untrained = initial_params(train_objective.architecture, others).to(params)
    epochs = settings["optimizer_settings"]["epochs"]
    longer = get_optimizer(
        settings["optimizer"], **{**settings["optimizer_settings"], "epochs": 2 * epochs}
    )

    def end(optimizer: Optimizer, seeds: list[int], params: Tensor) -> Tensor:
        training: Training = geometry.train_to_the_end(
            train_objective, test_objective, optimizer, seeds, params
        )
        return training.params

    return {
        "other order": end(optimizer, others, params),
        "longer": end(longer, seeds, params),
        "other initialisation": end(optimizer, others, untrained),
        "untrained": untrained,
    }


def probe_objectives(
    probes: Settings, train_objective: Objective, test_objective: Objective
) -> dict[str, tuple[Objective, list[Tensor]]]:
    """What gradients are taken of beside the run's own, and the images of each minibatch.

    train: minibatches of every size. held out: of test images. random labels: of train images whose
    labels were dealt out anew. The last two have ``size`` images per minibatch.
    """
    device = train_objective.images.device
    labels = train_objective.labels
    order = torch.randperm(len(labels), generator=generator(0, "random labels"))
    dealt = Objective(
        train_objective.architecture, train_objective.images, labels[order.to(device)]
    )
    sizes, count = probes["sizes"], probes["minibatches"]
    return {
        "train": (
            train_objective,
            [
                minibatch
                for size in sizes
                for minibatch in _minibatches(train_objective, size, count)
            ],
        ),
        "held out": (test_objective, _minibatches(test_objective, probes["size"], count)),
        "random labels": (dealt, _minibatches(dealt, probes["size"], count)),
    }


def _minibatches(objective: Objective, size: int, count: int) -> list[Tensor]:
    """Up to `count` minibatches [size] without an image in common, the same each time."""
    order = torch.randperm(objective.count, generator=generator(0, "probes"))
    whole = order[: objective.count // size * size].view(-1, size)
    return list(whole[:count].to(objective.images.device))


def describe(name: str, recording: Recording) -> None:
    """Say on stderr how a run ended; mean cosines leave out the last epoch."""
    cosines = ratios.with_ratios(recording.records)["cosine"][:, : -recording.steps_per_epoch]
    train_loss, test_loss = recording.losses.mean(0)
    print(
        f"{name}: {len(recording.seeds)} seeds, {recording.records['loss'].shape[1]} steps, "
        f"train loss {train_loss:.3e}, test loss {test_loss:.3e}, "
        f"mean cosine {np.nanmean(cosines):.3f}",
        file=sys.stderr,
        flush=True,
    )
