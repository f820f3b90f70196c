"""Whether a configuration can work: what the schema says, and what needs more than one key.

Every problem is found at once, and told with its place and its cure.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from topography.naming import DEFAULT
from topography.workflow import signatures
from topography.workflow.configuration import (
    OVERRIDABLE,
    ConfigurationError,
    Key,
    Settings,
    Source,
    architecture_settings,
    chosen_architectures,
    for_architecture,
    geometry_runs,
    has_key,
    imported,
    load,
    merge,
    place_of,
    scale_file,
    set_names,
    source_of,
    trained_as,
    values_by_key,
    variant_changes,
    variants,
    with_variant,
)

# Datasets that hold something else than grey images of 28 x 28 pixels, and the architectures that
# read only such images. Of datasets and architectures that are not ours, the jobs say so.
COLOUR_DATASETS = ("cifar10",)
TEXTS = ("descriptions", "text", "wikitext2")
GREY_ARCHITECTURES = ("fcp", "lenet", "autoencoder", "lstm")
TEXT_ARCHITECTURES = ("transformer",)

# Sections that a variant may change.
VARIABLE = ("architectures", *OVERRIDABLE)

HOW_TO_WRITE_NUMBERS = (
    "YAML reads 1e-4 and 1.0e4 as text: write 1.0e-4 and 1.0e+4, with point and sign, and no quotes"
)


@dataclass(frozen=True)
class Problem:
    """One unusable key, what is wrong with it, and how to mend it."""

    key: Key
    what: str
    fix: str


def read(folder: Path, changes: Settings) -> dict[str, Any]:
    """The checked configuration in a folder, put together as the workflow does it.

    changes: as files and values of the command line or a profile make them; they may name a scale.

    Raises:
        ConfigurationError: there is no such scale, or the configuration cannot be used.
    """
    own = load(folder / "config.yaml")
    sources = [("the command line, a file or a profile", changes), ("config.yaml", own)]
    file = scale_file(folder, changes.get("scale", own.get("scale")))
    if file:
        sources.insert(1, (str(file.relative_to(folder)), load(file)))
    config: dict[str, Any] = {}
    for _, content in reversed(sources):
        config = merge(config, content)
    schema = load(folder / "config" / "schema.yaml")
    check(config, schema, sources, folder / "scripts" / "topography")
    return config | {"architectures": chosen_architectures(config)}


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
            *dict.fromkeys(_unknown_sets(config)),
            *_unknown_weights(config),
            *dict.fromkeys(_unfitting_seeds(config)),
        ]
    if not problems:
        problems = [*_impossible_values(config), *_impossible_runs(config, schema)]
    if not problems:
        problems = list(_impossible_variants(config, schema, library))
    _refuse(problems, sources)


def check_images(
    wanted: Iterable[tuple[Key, int]],
    available: Mapping[str, int],
    path: Path,
    sources: Sequence[Source],
) -> None:
    """Refuse to ask for more images than there are: a job would notice when its former results,
    which Snakemake removes at its start, are gone.

    wanted: keys of the configuration that end in "train" or "test", and how many images they ask
        for. available: of each part, in the dataset that is at `path`. sources: as for `check`.

    Raises:
        ConfigurationError: with all problems found.
    """
    problems = [
        Problem(
            key, f"asks for {count} images, and {path} has {available[key[-1]]}", "Ask for fewer"
        )
        for key, count in dict.fromkeys(wanted)
        if count > available[key[-1]]
    ]
    _refuse(problems, sources)


def wanted_images(config: Settings) -> Iterator[tuple[Key, int]]:
    """Images that the architectures ask for, as for `check_images`."""
    for architecture in chosen_architectures(config):
        for part, count in for_architecture(config, architecture)["images"].items():
            yield place_of(config, architecture, "images", part), count


def wanted_images_of_variant(config: Settings, variant: str) -> Iterator[tuple[Key, int]]:
    """The same of a variant of `differences`."""
    changed = with_variant(config, variant)
    images = for_architecture(changed, config["differences"]["architecture"])["images"]
    for part, count in images.items():
        own = ("differences", "variants", variant, "images", part)
        yield own if has_key(config, own) else ("differences", "base", "images", part), count


def wanted_images_of_study(config: Settings, study: str, dataset: str) -> Iterator[tuple[Key, int]]:
    """The same of the runs of a study of optimization paths that read this dataset."""
    for name, run in geometry_runs(config, study).items():
        if run["function"] is None and run["dataset"] == dataset:
            for part, count in run["images"].items():
                yield _place_in_run(config, study, name, "images", part), count


def _place_in_run(config: Settings, study: str, name: str, *key: str) -> Key:
    """Where the value that applies to a run of the second study is written."""
    own = ("geometry", "studies", study, name, *key)
    return own if has_key(config, own) else ("geometry", "defaults", *key)


def _refuse(problems: Sequence[Problem], sources: Sequence[Source]) -> None:
    if problems:
        raise ConfigurationError(
            "\n".join(
                ["The configuration cannot be used:"]
                + [
                    f"- {'.'.join(problem.key)} (in {source_of(problem.key, sources)}) "
                    f"{problem.what}. {problem.fix}."
                    for problem in problems
                ]
            )
        )


_TYPES = {
    "object": "a section of keys",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
}


# JSON Schema takes 3.0 for a whole number; what counts with it does not.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def _schema_problems(config: Settings, schema: Settings) -> Iterator[Problem]:
    for error in _Validator(schema).iter_errors(config):
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
                    cure = "Copy its line from the repository's config.yaml"
                    if key[:1] == ("weights",):
                        cure = "Give train and test; one file may stand for both"
                    yield Problem((*key, name), "is missing", cure)
        elif error.validator == "type":
            types = [expected] if isinstance(expected, str) else expected
            what = f"must be {' or '.join(_TYPES[name] for name in types)}, not {error.instance!r}"
            if isinstance(error.instance, str) and types[0] in ("integer", "number", "object"):
                fix += (
                    f". {HOW_TO_WRITE_NUMBERS}. A nested value given with --config arrives as "
                    "text: put it into a file and pass that with --configfile"
                )
            elif isinstance(error.instance, float) and types[0] == "integer":
                fix += ". Write it without point and exponent"
            elif error.instance is None and types[0] == "object":
                fix = "For a section without keys write {}"
            yield Problem(key, what, fix)
        elif error.validator == "enum":
            yield Problem(
                key,
                f"is {error.instance!r}, which is not a choice",
                f"Choose one of {', '.join(map(str, expected))}",
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
        *((("architectures", name), "architecture", name) for name in config["architectures"]),
        *((("optimizers", name), "optimizer", name) for name in config["optimizers"]),
        (("dataset",), "dataset", config["dataset"]),
        *_modules_of_second_study(config["geometry"]),
    ]
    for key, kind, name in wanted:
        folder = library / f"{kind}s"
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
        elif kind != "dataset" and not signatures.names_its_class(library, kind, name):
            constant = kind.upper()
            yield Problem(
                key,
                f"names {name!r}, but {folder.name}/{name}.py gives no {constant}",
                f"End that file with `{constant} = <your class>`",
            )


def _modules_of_second_study(section: Settings) -> Iterator[tuple[Key, str, str]]:
    """Keys of the second study that name a module, its kind and its name."""
    yield from (
        (("geometry", "optimizers", name), "optimizer", name) for name in section["optimizers"]
    )
    runs: list[tuple[Key, Settings]] = [(("geometry", "defaults"), section["defaults"])]
    for study, named in section["studies"].items():
        runs += [(("geometry", "studies", study, name), run) for name, run in named.items()]
    for key, run in runs:
        for kind in ("architecture", "optimizer", "dataset"):
            if run.get(kind) is not None:  # null stands for the dataset of the main study
                yield (*key, kind), kind, run[kind]


def _unknown_settings(config: Settings, library: Path) -> Iterator[Problem]:
    """Settings that a class does not take, and those that it lacks, as far as its code tells."""
    for architecture in config["architectures"]:
        own = architecture_settings(config, architecture)
        for name, what, fix in _misfits("architecture", architecture, own, library):
            yield Problem(("architectures", architecture, name), what, fix)
        for optimizer, own in for_architecture(config, architecture)["optimizers"].items():
            for name, what, fix in _misfits("optimizer", optimizer, own, library):
                key = place_of(config, architecture, "optimizers", optimizer, name)
                yield Problem(key, what, fix)
    for study in config["geometry"]["studies"]:
        for name, run in geometry_runs(config, study).items():
            yield from _unknown_settings_of_run(config, study, name, run, library)


def _unknown_settings_of_run(
    config: Settings, study: str, run_name: str, run: Settings, library: Path
) -> Iterator[Problem]:
    """The same of one run of the second study."""
    # A function takes the place of a network.
    kinds = ["optimizer"] if run["function"] is not None else ["optimizer", "architecture"]
    for kind in kinds:
        for name, what, fix in _misfits(kind, run[kind], run[f"{kind}_settings"], library):
            place = _place_of_setting(config, study, run_name, kind, run[kind], name)
            yield Problem(place, f"{what} (run {study}.{run_name})", fix)


def _place_of_setting(
    config: Settings, study: str, run_name: str, kind: str, of: str, name: str
) -> Key:
    """Where a setting of the optimizer or architecture `of` of a run is written, or belongs."""
    own = ("geometry", "studies", study, run_name, f"{kind}_settings", name)
    of_defaults = ("geometry", "defaults", f"{kind}_settings", name)
    belongs = ("geometry", "optimizers", of, name) if kind == "optimizer" else own
    places = (own, of_defaults, belongs)
    return next((place for place in places if has_key(config, place)), belongs)


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
                        place_of(config, architecture, "paths", "landscapes", landscape),
                        f"names the set {name!r}, which does not exist",
                        _suggest(name, known),
                    )


def _unknown_weights(config: Settings) -> Iterator[Problem]:
    for architecture, files in config.get("weights", {}).items():
        if architecture not in config["architectures"]:
            yield _absent(("weights", architecture), "architecture", config["architectures"])
        for optimizer in files:
            if optimizer not in config["optimizers"]:
                key = ("weights", architecture, optimizer)
                yield _absent(key, "optimizer", config["optimizers"])


def _absent(key: Key, kind: str, known: Iterable[str]) -> Problem:
    """What is said of a key that is the name of nothing that is there."""
    return Problem(key, f"is about an {kind} that is not there", _suggest(key[-1], list(known)))


def _unfitting_seeds(config: Settings) -> Iterator[Problem]:
    """First seeds of optimizers that are not there, and optimizers without one."""
    known = config["optimizers"]
    for architecture in config["architectures"]:
        given = for_architecture(config, architecture)["training"]["first_seed"]
        for optimizer in given:
            if optimizer not in known:
                key = place_of(config, architecture, "training", "first_seed", optimizer)
                yield _absent(key, "optimizer", known)
        for optimizer in known:
            if optimizer not in given:
                yield Problem(
                    ("training", "first_seed", optimizer),
                    "is missing",
                    "Give every optimizer its first seed, far from those of the others: networks "
                    "of one seed start from the same weights and stay alike",
                )


def _impossible_values(config: Settings) -> Iterator[Problem]:
    seen = set()
    for key, value in _scalars(config):
        if isinstance(value, float) and not math.isfinite(value):
            yield Problem(key, f"is {value}", "Give a finite number")
    for architecture in chosen_architectures(config):
        overridden = config["architectures"][architecture].get("override")
        whose = f" (architecture {architecture})" if overridden else ""
        for key, what, fix in _conflicts(config, architecture):
            problem = Problem(place_of(config, architecture, *key), what + whose, fix)
            if problem not in seen:  # a general value is wrong for every architecture alike
                seen.add(problem)
                yield problem


def _impossible_variants(config: Settings, schema: Settings, library: Path) -> Iterator[Problem]:
    """What is wrong with the configuration as a variant changes it."""
    architecture = config["differences"]["architecture"]
    for name in variants(config):
        changed = with_variant(config, name)
        found = [
            Problem((key,), "cannot differ between variants", f"Known here: {', '.join(VARIABLE)}")
            for key in variant_changes(config, name)
            if key not in VARIABLE
        ]
        found = found or list(dict.fromkeys(_schema_problems(changed, schema)))
        if not found:
            changed["only"] = None
            changed["architectures"] = {architecture: changed["architectures"][architecture]}
            if trained_as(config, name) is not None:  # then weights from elsewhere take no part
                changed["weights"] = {}
            found = [*_unknown_settings(changed, library), *_impossible_values(changed)]
        place = ("base",) if name == DEFAULT else ("variants", name)
        yield from (Problem(("differences", *place, *one.key), one.what, one.fix) for one in found)
        if name == DEFAULT and found:
            return  # all variants would repeat it


def _impossible_runs(config: Settings, schema: Settings) -> Iterator[Problem]:
    """What is wrong with the runs of the second study."""
    of_optimizers = {"$defs": schema["$defs"], "$ref": "#/$defs/optimizers"}
    for study in config["geometry"]["studies"]:
        for name, run in geometry_runs(config, study).items():
            optimizer = run["optimizer"]
            for wrong in _schema_problems({optimizer: run["optimizer_settings"]}, of_optimizers):
                _, setting, *_ = wrong.key
                place = _place_of_setting(config, study, name, "optimizer", optimizer, setting)
                yield Problem(place, f"{wrong.what} (run {study}.{name})", wrong.fix)
            for key, what, fix in _run_conflicts(run):
                place = _place_in_run(config, study, name, key)
                yield Problem(place, f"{what} (run {study}.{name})", fix)


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
        yield from _probe_conflicts(run)
        size, images = settings.get("batch_size"), run["images"]["train"]
        if isinstance(size, int) and size > images:
            yield (
                "images",
                f"is only {images} for training, but minibatches of {optimizer} are of {size}",
                "Raise it, or lower batch_size",
            )
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


def _probe_conflicts(run: Settings) -> Iterator[tuple[str, str, str]]:
    """The same of the probes of a run, of which there may be none."""
    probes, images = run["probes"], run["images"]
    if not probes:
        return
    if probes["size"] not in probes["sizes"]:
        yield (
            "probes",
            f"is of size {probes['size']}, which is not among the sizes {probes['sizes']}: "
            "minibatches held out are set beside those of train images",
            "Add it to the sizes",
        )
    for name, size in (("train", max(probes["sizes"])), ("test", probes["size"])):
        if size > images[name]:
            yield (
                "probes",
                f"is of minibatches of {size} images, but images.{name} is only {images[name]}",
                "Lower the size or raise the images",
            )


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
    for optimizer, own in settings["optimizers"].items():
        batch_size = own.get("batch_size")
        if isinstance(batch_size, int) and batch_size > settings["images"]["train"]:
            yield (
                ("optimizers", optimizer, "batch_size"),
                f"is {batch_size}, but images.train is only {settings['images']['train']}",
                "Lower batch_size or raise images.train",
            )
    sgd = settings["optimizers"]["sgd"]
    warmup = sgd.get("warmup_epochs", 0)
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
            f"{'.'.join(place_of(config, architecture, 'paths', 'images_per_step'))}",
        )
    for landscape in settings["paths"]["landscapes"]:
        images = settings["images"][landscape]
        if images_per_step is not None and images_per_step > images:
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


def _scalars(value: object, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """As `values_by_key`, with what is inside of lists in their place."""
    for inner_key, inner in values_by_key(value, key):
        if isinstance(inner, list):
            for item in inner:
                yield from _scalars(item, inner_key)
        else:
            yield inner_key, inner
