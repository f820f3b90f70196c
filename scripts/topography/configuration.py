"""Reading, merging and checking the configuration of the workflow.

A complete configuration is `config.yaml`, changed by the file of a scale (`config/<scale>.yaml`),
changed by the command line or a profile. Here are the checks that need more than one key, the
settings of one architecture (the general ones with its `override` on top), and how work is cut
into jobs.
"""

import difflib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from operator import getitem
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from topography import signatures
from topography.errors import TopographyError
from topography.naming import DEFAULT
from topography.sets import CHECKPOINTS

Settings = Mapping[str, Any]
Key = tuple[str, ...]
Source = tuple[str, Settings]

# Sections that an architecture may replace in part.
OVERRIDABLE = ("optimizers", "images", "training", "selection", "pairs", "paths", "converged")
# Sections that no training or selection depends on.
AFTER_TRAINING = {"pairs", "paths", "converged"}
# Datasets that hold something else than grey images of 28 x 28 pixels, and the architectures that
# read only such images. Of datasets and architectures that are not ours, the jobs say so.
COLOUR_DATASETS = ("cifar10",)
TEXTS = ("descriptions", "text", "wikitext2")
GREY_ARCHITECTURES = ("fcp", "lenet", "autoencoder", "lstm")
TEXT_ARCHITECTURES = ("transformer",)

HOW_TO_WRITE_NUMBERS = (
    "YAML reads 1e-4 and 1.0e4 as text: write 1.0e-4 and 1.0e+4, with point and sign, and no quotes"
)


class ConfigurationError(TopographyError):
    """The configuration cannot be used; the message lists every problem, its place and its cure."""


@dataclass(frozen=True)
class Batch:
    """Neighbouring items that share one job, from `first` to `last` inclusive."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Problem:
    """One unusable key, what is wrong with it, and how to mend it."""

    key: Key
    what: str
    fix: str


def merge(base: Settings, changes: Settings) -> dict[str, Any]:
    """A copy of `base` with `changes` on top, section by section; lists are replaced."""
    merged = deepcopy(dict(base))
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = deepcopy(value)
    return merged


def read(folder: Path, changes: Settings) -> dict[str, Any]:
    """The checked configuration in a folder, put together as the workflow does it.

    changes: as files and values of the command line or a profile make them; they may name a scale.

    Raises:
        ConfigurationError: there is no such scale, or the configuration cannot be used.
    """
    own = load(folder / "config.yaml")
    sources = [("the command line, a file or a profile", changes), ("config.yaml", own)]
    scale = changes.get("scale", own["scale"])
    if scale != "laptop":
        sources.insert(1, (f"config/{scale}.yaml", load(folder / "config" / f"{scale}.yaml")))
    config: dict[str, Any] = {}
    for _, content in reversed(sources):
        config = merge(config, content)
    schema = load(folder / "config" / "schema.yaml")
    check(config, schema, sources, folder / "scripts" / "topography")
    return config | {"architectures": chosen_architectures(config)}


def load(path: Path) -> dict[str, Any]:
    """The keys of one YAML file. Raises ConfigurationError where it cannot be read."""
    try:
        return yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"Cannot read {path}: {error}. Correct the file, or the name that leads to it."
        ) from error


def chosen_architectures(config: Settings) -> dict[str, Any]:
    """The architectures that are run: those that `only` names, or all of them."""
    chosen = config["only"] or config["architectures"]
    return {name: own for name, own in config["architectures"].items() if name in chosen}


def variants(config: Settings) -> list[str]:
    """Names of the `differences`, after what they are held against."""
    return [DEFAULT, *config["differences"]["variants"]]


def with_variant(config: Settings, variant: str | None) -> Settings:
    """The configuration under which a variant is measured; None changes nothing."""
    if variant is None:
        return config
    differences = config["differences"]
    base = merge(config, differences["base"] or {})
    return merge(base, differences["variants"].get(variant, {}))


def trained_as(config: Settings, variant: str) -> str | None:
    """The variant whose networks this one joins: itself, another; None for those of the scale."""
    architecture = config["differences"]["architecture"]

    def training(name: str | None) -> tuple[Settings, ...]:
        changed = with_variant(config, name)
        settings = for_architecture(changed, architecture)
        kept = {key: value for key, value in settings.items() if key not in AFTER_TRAINING}
        return kept, architecture_settings(changed, architecture)

    return next(name for name in (None, DEFAULT, variant) if training(name) == training(variant))


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


def seed_batches(config: Settings, architecture: str) -> list[Batch]:
    """The seeds of one architecture, cut into training jobs."""
    training = for_architecture(config, architecture)["training"]
    return batches(training["first_seed"], training["seeds"], training["seeds_per_job"])


def seed_range(config: Settings, architecture: str) -> Batch:
    """All seeds of one architecture."""
    training = for_architecture(config, architecture)["training"]
    return Batch(training["first_seed"], training["first_seed"] + training["seeds"] - 1)


def pair_batches(config: Settings, architecture: str) -> list[Batch]:
    """The rows of a pairs file of one architecture, cut into path-finding jobs."""
    pairs = for_architecture(config, architecture)["pairs"]
    return batches(0, pairs["count"], pairs["per_job"])


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

    A run is what it says itself, on the settings of its optimizer, on the defaults of all runs.
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


def summary(config: Settings, sources: Sequence[Source], left_out: Sequence[str] = ()) -> str:
    """What will be computed, in a few lines: the panel shown at the start.

    sources: as for `check`; the first holds what the command line or a profile set. left_out:
    figures that cannot be made, and why.
    """
    networks = trainings = paths = path_jobs = 0
    for architecture in config["architectures"]:
        settings = for_architecture(config, architecture)
        optimizers = len(config["optimizers"]) - len(imported(config, architecture))
        sets = sum(len(names) for names in settings["paths"]["landscapes"].values())
        networks += optimizers * settings["training"]["seeds"]
        trainings += optimizers * len(seed_batches(config, architecture))
        paths += sets * settings["pairs"]["count"]
        path_jobs += sets * len(pair_batches(config, architecture))
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
        ("paths", f"{paths} to find in {path_jobs} jobs"),
        ("results", f"results/ (figures and tables of this scale), {folder}/ (everything else)"),
        ("logs", f"{folder}/logs/ (progress of a running job: tail -f its log)"),
    ]
    if left_out:
        lines.append(("left out", ", ".join(left_out)))
    if changed:
        values = ", ".join(f"{key}={value}" for key, value in changed)
        lines.append(("changed", f"{values} (by the command line or a profile)"))
    lines += [("not for", text) for text in _hidden_settings(config, sources)]
    title = "Topography of the loss landscape: what this configuration asks for, done or not"
    return "\n".join([title, *(f"  {name:<9} {text}" for name, text in lines)])


def _changes(sources: Sequence[Source]) -> list[tuple[str, Any]]:
    """Keys of the strongest source, such as paths.steps, that have another value in the others."""
    without: dict[str, Any] = {}
    for _, content in reversed(sources[1:]):
        without = merge(without, content)
    before = dict(_values(without))
    return [
        (".".join(key), value)
        for key, value in _values(sources[0][1])
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
        for key, value in _values(general):
            if key in seen:
                continue
            seen.add(key)
            by_source: dict[str, list[str]] = {}
            for architecture, own in config["architectures"].items():
                override = _written(config, architecture, *key)
                if override != key and functools.reduce(getitem, key, own["override"]) != value:
                    origin = _origin(override, sources)
                    if origin in [name for name, _ in sources[rank + 1 :]]:
                        by_source.setdefault(origin, []).append(architecture)
            for origin, names in by_source.items():
                hidden.setdefault((tuple(names), origin), []).append(".".join(key))
    return [
        f"{', '.join(names)}: architectures.<name>.override in {origin} sets {', '.join(keys)}"
        for (names, origin), keys in hidden.items()
    ]


def check(
    config: Settings,
    schema: Settings,
    sources: Sequence[Source],
    library: Path,
) -> None:
    """Refuse a configuration that cannot work.

    sources: what the configuration was merged from, as (name, content), the strongest first;
        used to say where a wrong value stands.
    library: folder of the package, with `architectures/`, `optimizers/` and `datasets/` in it.

    Raises:
        ConfigurationError: with all problems found.
    """
    problems = list(dict.fromkeys(_schema_problems(config, schema)))
    if not problems:  # the rest relies on the shape that the schema promises
        problems = [
            *_texts_for_numbers(config),
            *_unknown_modules(config, library),
            *dict.fromkeys(_unknown_settings(config, library)),
            *_unknown_choices(config),
            *_unreadable_dataset(config),
            *_unknown_sets(config),
            *_unknown_weights(config),
        ]
    if not problems:
        problems = [*_impossible_values(config), *_impossible_runs(config)]
    if not problems:
        problems = list(_impossible_variants(config, schema, library))
    if problems:
        raise ConfigurationError(
            "\n".join(
                ["The configuration cannot be used:"]
                + [
                    f"- {'.'.join(problem.key)} (in {_origin(problem.key, sources)}) "
                    f"{problem.what}. {problem.fix}."
                    for problem in problems
                ]
            )
        )


def _origin(key: Key, sources: Sequence[Source]) -> str:
    """Name of the strongest source that sets the key or, for a missing one, its section."""
    for depth in range(len(key), 0, -1):
        for name, content in sources:
            if _holds(content, key[:depth]):
                return name
    return sources[-1][0]


def _holds(content: object, key: Key) -> bool:
    """Whether nested sections hold a key, even with the value null."""
    for part in key:
        if not isinstance(content, Mapping) or part not in content:
            return False
        content = content[part]
    return True


_TYPES = {
    "object": "a section of keys",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
}


def _schema_problems(config: Settings, schema: Settings) -> Iterator[Problem]:
    for error in jsonschema.Draft202012Validator(schema).iter_errors(config):
        key = tuple(map(str, error.absolute_path))
        expected = error.validator_value
        described = error.schema.get("description")
        fix = f"It is {described}" if described else "See config.yaml for what belongs there"
        if error.validator == "additionalProperties":
            known = list(error.schema.get("properties", {}))
            for name in error.instance:
                if name not in known:
                    yield Problem((*key, str(name)), "is not a known key", _suggest(name, known))
        elif error.validator == "required":
            for name in expected:
                if name not in error.instance:
                    yield Problem(
                        (*key, name),
                        "is missing",
                        "Copy its line from the repository's config.yaml",
                    )
        elif error.validator == "type":
            types = [expected] if isinstance(expected, str) else expected
            what = f"must be {' or '.join(_TYPES[name] for name in types)}, not {error.instance!r}"
            if isinstance(error.instance, str) and types[0] in ("integer", "number", "object"):
                fix += (
                    f". {HOW_TO_WRITE_NUMBERS}. A nested value given with --config arrives as "
                    "text: put it into a file and pass that with --configfile"
                )
            elif error.instance is None and types[0] == "object":
                fix = "For a section without keys write {}"
            yield Problem(key, what, fix)
        elif error.validator in ("enum", "const"):
            choices = expected if isinstance(expected, list) else [expected]
            yield Problem(
                key,
                f"is {error.instance!r}, which is not a choice",
                f"Choose one of {', '.join(map(str, choices))}",
            )
        elif error.validator == "contains":
            yield Problem(key, f"lacks {error.schema['contains']['const']!r}", fix)
        else:  # limits of numbers, patterns and lengths: the description says them
            yield Problem(key, f"is {error.instance!r}, which is not possible", fix)


def _suggest(name: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    start = f"Did you mean {close[0]}? " if close else ""
    return f"{start}Known here: {', '.join(known) or 'no key at all'}"


def _texts_for_numbers(config: Settings) -> Iterator[Problem]:
    """Numbers that YAML reads as text, where no type in the schema refuses them."""
    for key, value in _scalars(config):
        if isinstance(value, str) and _is_number(value):
            yield Problem(key, f"is {value!r}, a number as text", HOW_TO_WRITE_NUMBERS)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unknown_modules(config: Settings, library: Path) -> Iterator[Problem]:
    wanted: list[tuple[Key, str, str]] = [
        *((("architectures", name), "architectures", name) for name in config["architectures"]),
        *((("optimizers", name), "optimizers", name) for name in config["optimizers"]),
        (("dataset",), "datasets", config["dataset"]),
        *_modules_of_second_study(config["geometry"]),
    ]
    for key, kind, name in wanted:
        folder = library / kind
        known = sorted(  # base.py and names with an underscore are helpers of the others
            path.stem for path in folder.glob("[!_]*.py") if path.stem != "base"
        )
        if name not in known:
            file = folder.relative_to(library.parent.parent) / f"{name}.py"
            yield Problem(
                key,
                f"names {name!r}, but there is no {file}",
                f"{_suggest(name, known)}. To add {name!r}, write that file",
            )


def _modules_of_second_study(section: Settings) -> Iterator[tuple[Key, str, str]]:
    """Keys of the second study that name a module, their folder and the name."""
    yield from (
        (("geometry", "optimizers", name), "optimizers", name) for name in section["optimizers"]
    )
    runs: list[tuple[Key, Settings]] = [(("geometry", "defaults"), section["defaults"])]
    for study, named in section["studies"].items():
        runs += [(("geometry", "studies", study, name), run) for name, run in named.items()]
    for key, run in runs:
        for kind in ("architecture", "optimizer", "dataset"):
            if run.get(kind) is not None:  # null stands for the dataset of the main study
                yield (*key, kind), f"{kind}s", run[kind]


def _unknown_settings(config: Settings, library: Path) -> Iterator[Problem]:
    """Settings that a class does not take, and those that it lacks, as far as its code tells."""
    for architecture in config["architectures"]:
        own = architecture_settings(config, architecture)
        for name, what, fix in _misfits("architecture", architecture, own, library):
            yield Problem(("architectures", architecture, name), what, fix)
        for optimizer, own in for_architecture(config, architecture)["optimizers"].items():
            for name, what, fix in _misfits("optimizer", optimizer, own, library):
                key = _written(config, architecture, "optimizers", optimizer, name)
                yield Problem(key, what, fix)
    for study in config["geometry"]["studies"]:
        for name, run in geometry_runs(config, study).items():
            yield from _unknown_settings_of_run(config, study, name, run, library)


def _unknown_settings_of_run(
    config: Settings, study: str, run_name: str, run: Settings, library: Path
) -> Iterator[Problem]:
    """The same of one run of the second study."""
    of_run, of_all = ("geometry", "studies", study, run_name), ("geometry", "defaults")
    of_optimizer = ("geometry", "optimizers", run["optimizer"])
    # Where settings may stand, and where one that stands nowhere belongs.
    places = {
        "optimizer": (
            [(*of_run, "optimizer_settings"), (*of_all, "optimizer_settings"), of_optimizer],
            of_optimizer,
        )
    }
    if run["function"] is None:  # which takes the place of a network
        own = (*of_run, "architecture_settings")
        places["architecture"] = ([own, (*of_all, "architecture_settings")], own)
    for kind, (possible, otherwise) in places.items():
        for name, what, fix in _misfits(kind, run[kind], run[f"{kind}_settings"], library):
            held = [place for place in possible if _holds(config, (*place, name))]
            place = held[0] if held else otherwise
            yield Problem((*place, name), f"{what} (run {study}.{run_name})", fix)


def _misfits(
    kind: str, name: str, given: Settings, library: Path
) -> Iterator[tuple[str, str, str]]:
    """Settings given to a class that it does not take, and those that it lacks."""
    known = signatures.settings_of(library, kind, name)
    if known is None:
        return
    for setting in given:
        if setting not in known:
            what = f"is not a setting of the {kind} {name}"
            yield str(setting), what, _suggest(setting, list(known))
    for setting, needed in known.items():
        if needed and setting not in given:
            yield setting, "is missing", f"The {kind} {name} cannot do without it"


def _unknown_choices(config: Settings) -> Iterator[Problem]:
    chosen = [(("only",), name) for name in config["only"] or ()]
    chosen.append((("differences", "architecture"), config["differences"]["architecture"]))
    for key, name in chosen:
        if name not in config["architectures"]:
            yield Problem(
                key,
                f"names {name!r}, which is not among the architectures",
                _suggest(name, list(config["architectures"])),
            )


def _unreadable_dataset(config: Settings) -> Iterator[Problem]:
    """The second study reads other datasets too: its runs name them for themselves."""
    dataset, elsewhere = config["dataset"], "The second study names its datasets under geometry"
    if dataset in TEXTS:
        yield Problem(
            ("dataset",),
            f"is {dataset!r}, a text, but the networks and Figure 1 are about images",
            f"Choose a dataset of images. {elsewhere}",
        )
    chosen = config["only"] or config["architectures"]
    for architecture in chosen:
        if architecture in TEXT_ARCHITECTURES:
            yield Problem(
                ("architectures", architecture),
                "reads texts, but this study is about images",
                "Leave it out of `only` or of the architectures. The second study names its "
                "networks under geometry",
            )
    grey = [name for name in chosen if name in GREY_ARCHITECTURES]
    if dataset in COLOUR_DATASETS and grey:
        yield Problem(
            ("dataset",),
            f"is {dataset!r}, colour images of 3 x 32 x 32 pixels, which {', '.join(grey)} cannot "
            "read, only grey ones of 28 x 28",
            "Choose another dataset, or name in `only` architectures that read these, such as mlp "
            f"with inputs: 3072. {elsewhere}",
        )


def _unknown_sets(config: Settings) -> Iterator[Problem]:
    for architecture in config["architectures"]:
        override = config["architectures"][architecture].get("override") or {}
        for optimizer in override.get("optimizers", {}):
            if optimizer not in config["optimizers"]:
                yield Problem(
                    ("architectures", architecture, "override", "optimizers", optimizer),
                    "overrides an optimizer that is not there",
                    f"{_suggest(optimizer, list(config['optimizers']))}",
                )
        known = set_names(config)
        landscapes = for_architecture(config, architecture)["paths"]["landscapes"]
        for landscape, names in landscapes.items():
            for name in names:
                if name not in known:
                    yield Problem(
                        _written(config, architecture, "paths", "landscapes", landscape),
                        f"names the set {name!r}, which does not exist",
                        _suggest(name, known),
                    )


def _unknown_weights(config: Settings) -> Iterator[Problem]:
    for architecture, files in config.get("weights", {}).items():
        if architecture not in config["architectures"]:
            yield Problem(
                ("weights", architecture),
                "is about an architecture that is not there",
                _suggest(architecture, list(config["architectures"])),
            )
        for optimizer in files:
            if optimizer not in config["optimizers"]:
                yield Problem(
                    ("weights", architecture, optimizer),
                    "is about an optimizer that is not there",
                    _suggest(optimizer, list(config["optimizers"])),
                )


def _written(config: Settings, architecture: str, *key: str) -> Key:
    """Where the value that applies to the architecture is written: its override or the section."""
    override = config["architectures"][architecture].get("override")
    return ("architectures", architecture, "override", *key) if _holds(override, key) else key


def _impossible_values(config: Settings) -> Iterator[Problem]:
    seen = set()
    for key, value in _scalars(config):
        if isinstance(value, float) and not math.isfinite(value):
            yield Problem(key, f"is {value}", "Give a finite number")
    for architecture in config["architectures"]:
        overridden = config["architectures"][architecture].get("override")
        whose = f" (architecture {architecture})" if overridden else ""
        for key, what, fix in _conflicts(config, architecture):
            problem = Problem(_written(config, architecture, *key), what + whose, fix)
            if problem not in seen:  # a general value is wrong for every architecture alike
                seen.add(problem)
                yield problem


def _impossible_variants(config: Settings, schema: Settings, library: Path) -> Iterator[Problem]:
    """What is wrong with the configuration as a variant changes it."""
    architecture = config["differences"]["architecture"]
    for name in variants(config):
        changed = with_variant(config, name)
        found = list(dict.fromkeys(_schema_problems(changed, schema)))
        if not found:
            changed["architectures"] = {architecture: changed["architectures"][architecture]}
            if trained_as(config, name) is not None:  # then weights from elsewhere take no part
                changed["weights"] = {}
            found = [*_unknown_settings(changed, library), *_impossible_values(changed)]
        place = ("base",) if name == DEFAULT else ("variants", name)
        yield from (Problem(("differences", *place, *one.key), one.what, one.fix) for one in found)
        if name == DEFAULT and found:
            return  # all variants would repeat it


def _impossible_runs(config: Settings) -> Iterator[Problem]:
    """What is wrong with the runs of the second study."""
    for study, runs in config["geometry"]["studies"].items():
        for name, run in geometry_runs(config, study).items():
            for key, what, fix in _run_conflicts(run):
                own = ("geometry", "studies", study, name, key)
                written = own if key in runs[name] else ("geometry", "defaults", key)
                yield Problem(written, f"{what} (run {study}.{name})", fix)


def _run_conflicts(run: Settings) -> Iterator[tuple[str, str, str]]:
    """Settings of one run that exclude each other, as keys of the run, what is wrong and cures."""
    optimizer, settings = run["optimizer"], run["optimizer_settings"]
    if run["controls"] and "epochs" not in settings:
        yield (
            "controls",
            f"is true, but the settings of {optimizer} have no epochs: controls train for twice as "
            "many, and in another order of minibatches",
            "Write false in that run, or choose an optimizer on minibatches, such as sgd",
        )
    if run["function"] is None:
        return
    for key, none in (("controls", "false"), ("probes", "null")):
        if run[key]:
            yield (
                key,
                "is set, but a function has neither images nor another initialisation",
                f"Write {none} in that run",
            )
    if "batch_size" not in settings:
        yield (
            "optimizer",
            f"is {optimizer}, whose settings have no batch_size: functions are descended in "
            "minibatches of their terms",
            "Choose an optimizer on minibatches, such as sgd",
        )


def _values(value: object, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every value that is no section, with its key; a list is one value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _values(inner, (*key, str(name)))
    else:
        yield key, value


def _scalars(value: object, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """As `_values`, with what is inside of lists in their place."""
    for inner_key, inner in _values(value, key):
        if isinstance(inner, list):
            for item in inner:
                yield from _scalars(item, inner_key)
        else:
            yield inner_key, inner


def _conflicts(config: Settings, architecture: str) -> Iterator[tuple[Key, str, str]]:
    """Values of one architecture that exclude each other."""
    settings = for_architecture(config, architecture)
    # Networks from elsewhere are as many as their files hold, whatever the seeds.
    trained = not set(config["optimizers"]) <= set(imported(config, architecture))
    seeds, keep = settings["training"]["seeds"], settings["selection"]["keep"]
    if trained and keep > seeds:
        yield (
            ("selection", "keep"),
            f"is {keep}, but training.seeds is only {seeds}",
            "Lower selection.keep or raise training.seeds",
        )
    count, possible = settings["pairs"]["count"], keep * (keep - 1) // 2
    if count > possible:
        yield (
            ("pairs", "count"),
            f"is {count}, but {keep} kept networks form only {possible} pairs",
            "Lower pairs.count or raise selection.keep",
        )
    sgd = settings["optimizers"]["sgd"]
    batch_size, warmup = sgd["batch_size"], sgd.get("warmup_epochs", 0)
    if batch_size > settings["images"]["train"]:
        yield (
            ("optimizers", "sgd", "batch_size"),
            f"is {batch_size}, but images.train is only {settings['images']['train']}",
            "Lower batch_size or raise images.train",
        )
    if warmup and warmup >= sgd["epochs"]:
        yield (
            ("optimizers", "sgd", "warmup_epochs"),
            f"is {warmup}, but there are only {sgd['epochs']} epochs",
            "Lower it below optimizers.sgd.epochs",
        )
    images_per_step = settings["paths"]["images_per_step"]
    if settings["paths"]["keep"] == "lowest" and images_per_step is not None:
        yield (
            ("paths", "keep"),
            "is lowest, but losses on the random images of different steps cannot be compared",
            "Write last or mean, or null as "
            f"{'.'.join(_written(config, architecture, 'paths', 'images_per_step'))}",
        )
    for landscape, sets in settings["paths"]["landscapes"].items():
        images = settings["images"][landscape]
        if sets and images_per_step is not None and images_per_step > images:
            yield (
                ("paths", "images_per_step"),
                f"is {images_per_step}, but images.{landscape} is only {images}",
                "Lower it, or write null to use all images at every step",
            )
    images, searched = settings["images"]["train"], settings["converged"]["images_per_step"]
    if searched is not None and searched > images:  # on the train landscape only
        yield (
            ("converged", "images_per_step"),
            f"is {searched}, but images.train is only {images}",
            "Lower it, or write null to use all images at every step",
        )
