"""The configuration of the workflow, and what its keys mean together.

A complete configuration is `config.yaml`, changed by the file of a scale (`config/<scale>.yaml`),
changed by the command line or a profile. Here are the settings of one architecture (the general
ones with its `override` on top), and how work is cut into jobs. Whether it can work is found out
by `configuration_checks`.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from topography.analysis.sets import CHECKPOINTS
from topography.errors import TopographyError
from topography.naming import DEFAULT

Settings = Mapping[str, Any]
Key = tuple[str, ...]
Source = tuple[str, Settings]

# Sections that an architecture may replace in part.
OVERRIDABLE = ("optimizers", "images", "training", "selection", "pairs", "paths", "converged")
# The scale that config.yaml holds itself; what else lies beside the files of the others; and the
# folders of results that are not those of a scale.
OWN_SCALE = "laptop"
NO_SCALES = {"schema", "claims", "geometry_claims", "data", "geometry"}
# Sections that no training or selection depends on.
AFTER_TRAINING = {"pairs", "paths", "converged"}


class ConfigurationError(TopographyError):
    """The configuration cannot be used; the message lists every problem, its place and its cure."""


@dataclass(frozen=True)
class Batch:
    """Neighbouring items that share one job, from `first` to `last` inclusive."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        return self.last - self.first + 1


def merge(base: Settings, changes: Settings) -> dict[str, Any]:
    """A copy of `base` with `changes` on top, section by section; lists are replaced."""
    merged = deepcopy(dict(base))
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = deepcopy(value)
    return merged


def load(path: Path) -> dict[str, Any]:
    """The keys of one YAML file.

    Raises:
        ConfigurationError: it cannot be read, holds something else than keys, or one of them twice:
            YAML would take the last, and drop all that stands below the first.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        tree = loader.get_single_node()
        repeated = list(_repeated_keys(tree))  # before `<<` adds keys to what was written
        content = None if tree is None else loader.construct_document(tree)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"Cannot read {path}: {error}. Correct the file, or the name that leads to it."
        ) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigurationError(
            f"{path} holds no keys with values, but {content!r:.50}. Write them as in config.yaml."
        )
    for key, line in repeated:
        raise ConfigurationError(
            f"{path} has the key {key} twice in one section, the second time in line {line}: all "
            "that stands below the first would be lost. Join the two."
        )
    return dict(content)


def _repeated_keys(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Keys that a section holds twice, with the line of the second."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key.value, key.start_mark.line + 1
                seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)


def scale_file(folder: Path, scale: object) -> Path | None:
    """The file of a scale below a folder; None for the scale that config.yaml holds itself.

    Raises:
        ConfigurationError: there is no such scale, or its file names another.
    """
    found = {file.stem: file for file in sorted((folder / "config").glob("*.yaml"))}
    known = {OWN_SCALE: None} | {name: found[name] for name in found if name not in NO_SCALES}
    if not isinstance(scale, str) or scale not in known:
        raise ConfigurationError(
            f"There is no scale {scale!r}: config/{scale}.yaml does not exist. Choose one of "
            f"{', '.join(sorted(known))} with --config scale=..., or write that file."
        )
    file = known[scale]
    named = scale if file is None else load(file).get("scale", scale)
    if named != scale:
        raise ConfigurationError(
            f"config/{scale}.yaml says `scale: {named}`, so that its results would take the place "
            f"of those in results/{named}. Write `scale: {scale}` there."
        )
    return file


def in_order_of(first: object, value: Any) -> Any:
    """The same value, its keys in the order of another, and those that are not there behind.

    Snakemake puts the keys of the command line's files first, and takes another order for a change.
    """
    if not isinstance(first, Mapping) or not isinstance(value, Mapping):
        return value
    keys = [key for key in dict.fromkeys([*first, *value]) if key in value]
    return {key: in_order_of(first.get(key), value[key]) for key in keys}


def chosen_architectures(config: Settings) -> dict[str, Any]:
    """The architectures that are run: those that `only` names, or all of them."""
    architectures = config["architectures"]
    chosen = config["only"] or architectures
    return {name: settings for name, settings in architectures.items() if name in chosen}


def variants(config: Settings) -> list[str]:
    """Names of the `differences`, after what they are held against."""
    return [DEFAULT, *config["differences"]["variants"]]


def with_variant(config: Settings, variant: str | None) -> Settings:
    """The configuration under which a variant is measured; None changes nothing."""
    if variant is None:
        return config
    base = merge(config, config["differences"]["base"] or {})
    return base if variant == DEFAULT else merge(base, variant_changes(config, variant))


def variant_changes(config: Settings, variant: str) -> Settings:
    """What a variant changes of the configuration; the default: the base of all."""
    differences = config["differences"]
    return differences["base"] or {} if variant == DEFAULT else differences["variants"][variant]


def trained_as(config: Settings, variant: str) -> str | None:
    """The variant whose networks this one joins: itself or the default; None for the scale's own.

    Where the default does not join those of the scale, no variant does: all are held against it.
    """

    def training(name: str | None) -> tuple[Settings, ...]:
        settings, own = _settings_of_variant(config, name)
        return {key: value for key, value in settings.items() if key not in AFTER_TRAINING}, own

    shared = None if training(DEFAULT) == training(None) else DEFAULT
    return shared if training(variant) == training(shared) else variant


def changes_nothing(config: Settings, variant: str) -> bool:
    """Whether a variant has the settings of the default, be it that an `override` hides its own."""
    settings = _settings_of_variant(config, variant)
    return variant != DEFAULT and settings == _settings_of_variant(config, DEFAULT)


def _settings_of_variant(config: Settings, variant: str | None) -> tuple[Settings, Settings]:
    """The overridable sections and the own settings of the architecture that variants are of."""
    changed = with_variant(config, variant)
    architecture = config["differences"]["architecture"]
    return for_architecture(changed, architecture), architecture_settings(changed, architecture)


def for_architecture(config: Settings, architecture: str) -> dict[str, Any]:
    """The overridable sections as they apply to one architecture."""
    general = {section: config[section] for section in OVERRIDABLE}
    return merge(general, config["architectures"][architecture].get("override") or {})


def architecture_settings(config: Settings, architecture: str) -> dict[str, Any]:
    """The settings of the architecture itself, such as its activation."""
    return {
        key: value
        for key, value in config["architectures"][architecture].items()
        if key != "override"
    }


def set_names(config: Settings) -> list[str]:
    """The sets of solutions of every architecture: each optimizer's two checkpoints."""
    return [
        f"{optimizer}_{checkpoint}"
        for optimizer in config["optimizers"]
        for checkpoint in CHECKPOINTS
    ]


def joined_sets(config: Settings, architecture: str, landscape: str) -> list[str]:
    """The sets of one architecture whose networks are joined by paths on a landscape."""
    return for_architecture(config, architecture)["paths"]["landscapes"][landscape]


def imported(config: Settings, architecture: str) -> Mapping[str, Mapping[str, str]]:
    """Optimizer -> checkpoint -> file of weights from elsewhere, for one architecture."""
    return config.get("weights", {}).get(architecture, {})


def batches(first: int, count: int, size: int) -> list[Batch]:
    """Cut `count` items numbered from `first` into batches of `size`; the last may be smaller."""
    end = first + count
    return [Batch(start, min(start + size, end) - 1) for start in range(first, end, size)]


def seed_batches(config: Settings, architecture: str, optimizer: str) -> list[Batch]:
    """The seeds that one architecture is trained from with an optimizer, cut into training jobs."""
    training = for_architecture(config, architecture)["training"]
    first = training["first_seed"][optimizer]
    return batches(first, training["seeds"], training["seeds_per_job"])


def described_seeds(config: Settings, architecture: str) -> str:
    """The seeds of one architecture for a reader, such as "fcp sgd 0-7, fcp lbfgs 1000-1007"."""
    elsewhere = imported(config, architecture)
    parts = []
    for optimizer in config["optimizers"]:
        cut = seed_batches(config, architecture, optimizer)
        seeds = Batch(cut[0].first, cut[-1].last)
        told = "(weights from elsewhere)" if optimizer in elsewhere else seeds
        parts.append(f"{architecture} {optimizer} {told}")
    return ", ".join(parts)


def pair_batches(config: Settings, architecture: str) -> list[Batch]:
    """The rows of a pairs file of one architecture, cut into path-finding jobs."""
    pairs = for_architecture(config, architecture)["pairs"]
    return batches(0, pairs["count"], pairs["per_job"])


def training_jobs(config: Settings, architecture: str, optimizer: str) -> list[str]:
    """Its training jobs, as the part of their files' names that tells them.

    There are none where weights from elsewhere stand in.
    """
    if optimizer in imported(config, architecture):
        return []
    return [
        f"{architecture}/{optimizer}/seeds_{seeds}"
        for seeds in seed_batches(config, architecture, optimizer)
    ]


def path_jobs(config: Settings, architecture: str, landscape: str) -> list[str]:
    """Its path-finding jobs on a landscape, as the part of their files' names that tells them."""
    return [
        job
        for name in joined_sets(config, architecture, landscape)
        for job in path_jobs_of_set(config, architecture, landscape, name)
    ]


def path_jobs_of_set(config: Settings, architecture: str, landscape: str, name: str) -> list[str]:
    """Those of one set."""
    return [
        f"{landscape}/{architecture}/{name}/pairs_{pairs}"
        for pairs in pair_batches(config, architecture)
    ]


def search_jobs(config: Settings, architecture: str) -> list[str]:
    """Its searches for converged paths, as the part of their files' names that tells them."""
    return [f"{architecture}/{name}" for name in joined_sets(config, architecture, "train")]


def searched_pairs(config: Settings, architecture: str) -> int:
    """How many pairs of each set of one architecture are searched on."""
    settings = for_architecture(config, architecture)
    return min(settings["converged"]["pairs"], settings["pairs"]["count"])


def search_settings(config: Settings, architecture: str) -> dict[str, Any]:
    """How paths of one architecture are searched on: first as `paths` says, then `converged`.

    What goes on is the last path, so that this is measured where `paths` keeps the lowest.
    """
    settings = for_architecture(config, architecture)
    first = dict(settings["paths"])
    if first["keep"] == "lowest":
        first["keep"] = "last"
    later = {name: value for name, value in settings["converged"].items() if name != "pairs"}
    del first["landscapes"]
    return {"first": first, **later}


def geometry_runs(config: Settings, study: str) -> dict[str, dict[str, Any]]:
    """Complete settings of each run of a study of optimization paths, by name.

    A run is what it says itself, on the defaults of all runs; its ``optimizer_settings``, made so,
    lie on those of its optimizer.
    """
    section = config["geometry"]
    runs = {}
    for name, changes in section["studies"][study].items():
        run = merge(section["defaults"], changes or {})
        run["dataset"] = run["dataset"] or config["dataset"]
        own = run.get("optimizer_settings", {})
        run["optimizer_settings"] = merge(section["optimizers"].get(run["optimizer"], {}), own)
        runs[name] = run
    return runs


# Places in the configuration ----------------------------------------------------------------------


def source_of(key: Key, sources: Sequence[Source]) -> str:
    """Name of the strongest source that sets the key or, for a missing one, its section."""
    for depth in range(len(key), 0, -1):
        for name, content in sources:
            if has_key(content, key[:depth]):
                return name
    return sources[-1][0]


def has_key(content: object, key: Key) -> bool:
    """Whether nested sections hold a key, even with the value null."""
    for part in key:
        if not isinstance(content, Mapping) or part not in content:
            return False
        content = content[part]
    return True


def place_of(config: Settings, architecture: str, *key: str) -> Key:
    """Where the value that applies to the architecture is written: its override or the section."""
    override = config["architectures"][architecture].get("override")
    return ("architectures", architecture, "override", *key) if has_key(override, key) else key


def values_by_key(value: object, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every value that is no section, with its key; a list is one value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from values_by_key(inner, (*key, str(name)))
    else:
        yield key, value
