"""Any configuration is either accepted and can be run, or refused with the key that is wrong."""

from copy import deepcopy
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from support.clones import REPOSITORY, Workflow
from topography.workflow import configuration, configuration_checks, start_panel
from topography.workflow.configuration import ConfigurationError, Key

LIBRARY = REPOSITORY / "scripts/topography"
SCHEMA = yaml.safe_load((REPOSITORY / "config/schema.yaml").read_text())
COMPLETE = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
SCALES = [
    yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text()) for name in ("smoke", "paper")
]
# Of two keys that exclude each other the message names one, which need not be the changed one.
CONFLICTS = (
    ("selection", "keep"),
    ("pairs", "count"),
    ("optimizers", "sgd", "batch_size"),
    ("paths", "images_per_step"),
    ("converged", "images_per_step"),
    ("paths", "keep"),
    ("paths", "landscapes"),
    ("differences", "architecture"),
    ("trajectory", "controls"),
    ("trajectory", "probes"),
    ("geometry", "defaults", "optimizer"),
    ("architecture_settings",),
    ("optimizer_settings",),
)
NASTY = [
    *["", " ", "..", "../fcp", "../../etc/passwd", "/etc", "fcp/../lstm", "fcp\n", "fcp\0", "-n"],
    *["a b", "a'b", 'a"b', "$(touch pwned)", "`touch pwned`", "; touch pwned", "a\nb", "{output}"],
    *["fcp", "sgd", "sgd_test", "digits", "smoke", "schema", "base", "_idx", "__init__", "FCP"],
    *["1e-4", "null", "é", "name.with.dots"],
]


def keys(section: dict[str, Any], above: Key = ()) -> list[Key]:
    """All keys of a configuration, those of sections included."""
    found = []
    for name, value in section.items():
        found.append((*above, name))
        if isinstance(value, dict):
            found += keys(value, (*above, name))
    return found


def plausible(value: object) -> some.SearchStrategy[object]:
    """Values of the same kind as the one that is there."""
    if isinstance(value, bool):
        return some.booleans()
    if isinstance(value, int):
        return some.integers(1, 12)
    if isinstance(value, float):
        return some.floats(1e-6, 1.0)
    if isinstance(value, list) and value:
        return some.lists(some.sampled_from(value), min_size=1, unique_by=repr)
    return some.just(value)


names = some.sampled_from([*sorted({key[-1] for key in keys(COMPLETE)}), *NASTY])
scalars = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-3, 100_000),
    some.sampled_from([10**30, -(10**30)]),
    some.floats(),
    some.sampled_from(NASTY),
    some.text(max_size=5),
)
anything = some.recursive(
    scalars,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)


@some.composite
def changed(draw: some.DrawFn, *, wild: bool) -> tuple[dict[str, Any], list[Key]]:
    """A configuration of the repository with one to three changes, and the keys of these.

    wild: also keys that are new or missing, and values of any kind.
    """
    bases = [COMPLETE, *(configuration.merge(COMPLETE, scale) for scale in SCALES)]
    config = deepcopy(draw(some.sampled_from(bases if wild else bases[:1])))
    touched = []
    for _ in range(draw(some.integers(1, 3))):
        key = draw(some.sampled_from(keys(config)))
        section = config
        for part in key[:-1]:
            section = section[part]
        how = draw(some.sampled_from(["plausible", "any", "new", "drop"])) if wild else "plausible"
        if how == "drop":
            del section[key[-1]]
        else:
            key = (*key[:-1], draw(names)) if how == "new" else key
            kind = plausible(section[key[-1]]) if how == "plausible" else anything
            section[key[-1]] = draw(kind)
        touched.append(key)
    return config, touched


def refused(config: dict[str, Any]) -> list[str]:
    """The problems of a configuration, each beginning with its key; none if it is accepted."""
    try:
        configuration_checks.check(config, SCHEMA, [("mine.yaml", config)], LIBRARY)
    except ConfigurationError as refusal:
        problems = str(refusal).split("\n- ")[1:]
        assert problems
        return problems
    return []


def is_about(problem: str, touched: list[Key]) -> bool:
    """Whether the key that a problem names is a changed one, around one or inside one."""
    named = problem.partition(" (in mine.yaml)")[0]
    for key in touched:
        changed_key = ".".join(key)
        if f"{named}.".startswith(f"{changed_key}.") or f"{changed_key}.".startswith(f"{named}."):
            return True
    return any(".".join(conflict) in named for conflict in CONFLICTS)


NO_CHECKS = {"suppress_health_check": list(HealthCheck)}


@settings(max_examples=300, **NO_CHECKS)
@given(changed(wild=True))
def test_a_configuration_works_or_its_wrong_key_is_named(drawn: tuple[dict, list[Key]]) -> None:
    config, touched = drawn
    before = repr(config)
    problems = refused(config)
    for problem in problems:
        assert is_about(problem, touched), f"{problem!r} after changes of {touched}"
    assert repr(config) == before
    if problems:
        return
    # Accepted: what becomes part of a path or of a command is a plain name, and the rules get on.
    for name in (config["scale"], config["dataset"], *config["architectures"]):
        assert name.isidentifier()
    assert all(name.isidentifier() for name in configuration.set_names(config))
    start_panel.summary(config, [("mine.yaml", {}), ("config.yaml", config)])
    for architecture in config["architectures"]:
        for optimizer in config["optimizers"]:
            assert configuration.seed_batches(config, architecture, optimizer)
        assert configuration.pair_batches(config, architecture)
        for landscape in ("train", "test"):
            configuration.joined_sets(config, architecture, landscape)


@settings(max_examples=4, **NO_CHECKS)
@given(drawn=changed(wild=False))
def test_snakemake_agrees(clone: Workflow, drawn: tuple[dict, list[Key]]) -> None:
    """A handful: what is accepted passes a dry run, what is refused says so there too."""
    config = {**drawn[0], "scale": "laptop"}
    problems = refused(config)
    (clone.folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = clone.run("-n", "--quiet", check=False)
    assert (done.returncode == 0) == (not problems), done.stdout + done.stderr
    for problem in problems:
        assert problem.partition(" (in mine.yaml)")[0] in done.stdout + done.stderr
