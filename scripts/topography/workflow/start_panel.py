"""What a run will do, in a few lines: the panel shown at the start."""

import functools
from collections.abc import Sequence
from operator import getitem
from typing import Any

from topography.workflow.configuration import (
    OVERRIDABLE,
    Settings,
    Source,
    for_architecture,
    merge,
    path_jobs,
    place_of,
    source_of,
    training_jobs,
    values_by_key,
)


def summary(config: Settings, sources: Sequence[Source], left_out: Sequence[str] = ()) -> str:
    """What will be computed, in a few lines: the panel shown at the start.

    sources: as for `configuration_checks.check`; the first holds what the command line or a profile
    set. left_out: figures that cannot be made, and why.
    """
    networks = trainings = paths = searches = 0
    for architecture in config["architectures"]:
        settings = for_architecture(config, architecture)
        for optimizer in config["optimizers"]:
            jobs = len(training_jobs(config, architecture, optimizer))
            trainings += jobs
            networks += settings["training"]["seeds"] if jobs else 0
        for landscape, sets in settings["paths"]["landscapes"].items():
            searches += len(path_jobs(config, architecture, landscape))
            paths += settings["pairs"]["count"] * len(sets)
    changed = _changes(sources)
    folder = f"results/{config['scale']}"
    lines = [
        ("scale", f"{config['scale']}: {config['dataset']}, {_images_in_words(config)}"),
        ("device", config["device"]),
        (
            "networks",
            f"{networks} to train in {trainings} jobs "
            f"({', '.join(config['architectures'])}; {', '.join(config['optimizers'])})",
        ),
        ("paths", f"{paths} to find in {searches} jobs"),
        ("results", f"results/ (figures and tables of this scale), {folder}/ (everything else)"),
        ("logs", f"{folder}/logs/ (progress of a running job: tail -f its log)"),
    ]
    if left_out:
        text = ", ".join(left_out)
        lines.append(("left out", f"{text}; any copy in results/ is of an earlier run"))
    if changed:
        text = ", ".join(f"{key}={value}" for key, value in changed)
        lines.append(("changed", f"{text} (by {sources[0][0]})"))
    lines += [("not for", text) for text in _hidden_settings(config, sources)]
    title = "Topography of the loss landscape: what this configuration asks for, done or not"
    return "\n".join([title, *(f"  {name:<9} {text}" for name, text in lines)])


def _changes(sources: Sequence[Source]) -> list[tuple[str, Any]]:
    """Keys of the strongest source, such as paths.steps, that have another value in the others."""
    without: dict[str, Any] = {}
    for _, content in reversed(sources[1:]):
        without = merge(without, content)
    before = dict(values_by_key(without))
    return [
        (".".join(key), value)
        for key, value in values_by_key(sources[0][1])
        if key not in before or before[key] != value
    ]


def _images_in_words(config: Settings) -> str:
    """Numbers of images, with the architectures that have them where these differ."""
    having: dict[tuple[int, int], list[str]] = {}
    for architecture in config["architectures"]:
        images = for_architecture(config, architecture)["images"]
        having.setdefault((images["train"], images["test"]), []).append(architecture)
    return ", ".join(
        f"{train} train and {test} test images"
        + (f" ({', '.join(names)})" if len(having) > 1 else "")
        for (train, test), names in having.items()
    )


def _hidden_settings(config: Settings, sources: Sequence[Source]) -> list[str]:
    """Architectures on which general settings of a source have no effect, and why.

    It is the trap of an `override` in a weaker source, such as those of config.yaml for LeNet.
    """
    # (architectures, source of their override) -> keys
    hidden: dict[tuple[tuple[str, ...], str], list[str]] = {}
    seen = set()
    for rank, (_, content) in enumerate(sources):
        general = {section: content[section] for section in OVERRIDABLE if section in content}
        for key, value in values_by_key(general):
            if key in seen:
                continue
            seen.add(key)
            by_source: dict[str, list[str]] = {}
            for architecture, own in config["architectures"].items():
                override = place_of(config, architecture, *key)
                if override != key and functools.reduce(getitem, key, own["override"]) != value:
                    source = source_of(override, sources)
                    if source in [name for name, _ in sources[rank + 1 :]]:
                        by_source.setdefault(source, []).append(architecture)
            for origin, names in by_source.items():
                hidden.setdefault((tuple(names), origin), []).append(".".join(key))
    return [
        f"{', '.join(names)}: architectures.<name>.override in {origin} sets {', '.join(keys)}"
        for (names, origin), keys in hidden.items()
    ]
