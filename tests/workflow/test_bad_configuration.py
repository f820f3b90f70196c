"""A configuration that cannot work is refused at once: what, where, and how to fix it."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.clones import REPOSITORY, SMOKE, Workflow
from topography.workflow import configuration, configuration_checks, signatures
from topography.workflow.configuration import ConfigurationError

LIBRARY = REPOSITORY / "scripts" / "topography"
SCHEMA = yaml.safe_load((REPOSITORY / "config/schema.yaml").read_text())
COMPLETE = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
# The values that the conditions between keys look at, so that tuning the scales breaks no test.
BASE = configuration.merge(
    COMPLETE,
    {
        "images": {"train": 10000, "test": 5000},
        "optimizers": {"sgd": {"batch_size": 64}},
        "architectures": {name: {"override": None} for name in COMPLETE["architectures"]},
        "training": {"seeds": 8},
        "selection": {"keep": 6},
        "pairs": {"count": 15},
        "paths": {"keep": "last", "images_per_step": 1000},
    },
)


def refusal(change: dict[str, Any], base: dict[str, Any] = BASE) -> str:
    """The message about the configuration with a change made to it by a file."""
    config = configuration.merge(base, change)
    with pytest.raises(ConfigurationError) as refused:
        configuration_checks.check(
            config, SCHEMA, [("mine.yaml", change), ("config.yaml", base)], LIBRARY
        )
    return str(refused.value)


@pytest.mark.parametrize("scale", ["laptop", "smoke", "reduced", "paper"])
def test_the_scales_of_the_repository_are_accepted(scale: str) -> None:
    changes = {}
    if scale != "laptop":
        changes = yaml.safe_load((REPOSITORY / f"config/{scale}.yaml").read_text())
    config = configuration.merge(COMPLETE, changes)
    configuration_checks.check(config, SCHEMA, [("config.yaml", config)], LIBRARY)


PAPER_VALUES = {
    ("images", "train"): 60000,
    ("images", "test"): 10000,
    ("optimizers", "sgd", "learning_rate"): 0.1,
    ("optimizers", "sgd", "batch_size"): 64,
    ("optimizers", "sgd", "epochs"): 75,
    ("optimizers", "lbfgs", "iterations"): 1000,
    ("optimizers", "lbfgs", "history_size"): 10,
    ("optimizers", "lbfgs", "line_search_budget"): 6,
    ("optimizers", "lbfgs", "line_search_tolerance"): 1e-4,
    ("optimizers", "lbfgs", "curvature_damping"): 1e-6,
    ("optimizers", "lbfgs", "monotone"): False,
    ("training", "seeds"): 75,
    ("selection", "keep"): 48,
    ("pairs", "count"): 300,
    ("paths", "terms"): 10,
    ("paths", "points"): 51,
    ("paths", "penalty"): 1e-4,
    ("paths", "steps"): 100,
    ("paths", "learning_rate"): 1e-3,
    ("paths", "keep"): "lowest",
    ("paths", "images_per_step"): None,
    ("paths", "precision"): "exact",
    ("paths", "landscapes", "train"): ["lbfgs_train", "lbfgs_test", "sgd_train", "sgd_test"],
    ("paths", "landscapes", "test"): ["lbfgs_test", "sgd_test"],
}


@pytest.mark.parametrize("architecture", ["fcp", "lenet", "autoencoder", "lstm"])
def test_the_paper_scale_has_the_values_of_the_paper(architecture: str) -> None:
    changes = yaml.safe_load((REPOSITORY / "config/paper.yaml").read_text())
    settings = configuration.for_architecture(configuration.merge(COMPLETE, changes), architecture)
    for key, expected in PAPER_VALUES.items():
        value = settings
        for part in key:
            value = value[part]
        assert value == expected, key


# What scale "reduced" cuts: the number of networks and pairs, and images in the steps of a path, of
# which there are more.
CUT = [
    ("training", "seeds"),
    ("selection", "keep"),
    ("pairs", "count"),
    ("paths", "images_per_step"),
    ("paths", "steps"),
    ("paths", "keep"),
    ("converged", "doublings"),
]
REDUCED = {
    "fcp": (12, 8, 28, 500, 150, "last", 5),
    "autoencoder": (12, 8, 28, 500, 150, "last", 4),
    "lenet": (5, 4, 6, 200, 400, "mean", 2),
    "lstm": (5, 4, 6, 500, 150, "last", 3),
}


@pytest.mark.parametrize("architecture", REDUCED)
def test_the_reduced_scale_trains_as_the_paper_does(architecture: str) -> None:
    changes = yaml.safe_load((REPOSITORY / "config/reduced.yaml").read_text())
    settings = configuration.for_architecture(configuration.merge(COMPLETE, changes), architecture)
    expected = PAPER_VALUES | dict(zip(CUT, REDUCED[architecture], strict=True))
    for key, number in expected.items():
        value = settings
        for part in key:
            value = value[part]
        assert value == number, key


@pytest.mark.parametrize(
    ("change", "key", "fix"),
    [
        ({"pairs": {"cuont": 3}}, "pairs.cuont", "Did you mean count?"),
        ({"trainning": {}}, "trainning", "Did you mean training?"),
        ({"selection.keep": 3}, "selection.keep", "Known here"),
        ({"training": {"seeds": 1}}, "training.seeds", "at least 2"),
        ({"training": {"seeds_per_job": 0}}, "training.seeds_per_job", "at least 1"),
        ({"training": {"first_seed": 0}}, "training.first_seed", "a seed for every optimizer"),
        ({"training": {"first_seed": {"sgd": -1}}}, "training.first_seed.sgd", "at least 0"),
        ({"training": {"first_seed": {"sgb": 1}}}, "training.first_seed.sgb", "mean sgd?"),
        ({"training": {"seeds": 7.5}}, "training.seeds", "a whole number"),
        ({"training": {"seeds": True}}, "training.seeds", "a whole number"),
        ({"training": {"seeds": 8.0}}, "training.seeds", "without point and exponent"),
        ({"paths": {"steps": 1e3}}, "paths.steps", "without point and exponent"),
        ({"only": "fcp"}, "only", "'only=[fcp, lstm]'"),
        ({"pairs": {"per_job": 0}}, "pairs.per_job", "at least 1"),
        ({"pairs": {"count": "3"}}, "pairs.count", "--configfile"),
        ({"images": {"train": 0}}, "images.train", "at least 1"),
        ({"weights": {"lenett": {}}}, "weights.lenett", "Did you mean lenet?"),
        (
            {"weights": {"fcp": {"sdg": {"train": "a.npy", "test": "b.npy"}}}},
            "weights.fcp.sdg",
            "Did you mean sgd?",
        ),
        (
            {"weights": {"fcp": {"sgd": {"train": "a.npy"}}}},
            "weights.fcp.sgd.test",
            "may stand for both",
        ),
        (
            {"weights": {"fcp": {"sgd": {"train": "a.pt", "test": "b.npy"}}}},
            "weights.fcp.sgd.train",
            ".npy or .safetensors",
        ),
        ({"device": "gpu"}, "device", "auto, cpu, cuda"),
        ({"converged": {"terms": 10}}, "converged.terms", "a list of one to four"),
        ({"converged": {"terms": []}}, "converged.terms", "a list of one to four"),
        ({"converged": {"tolerance": 1}}, "converged.tolerance", "between 0 and 1"),
        ({"converged": {"images_per_step": 10001}}, "converged.images_per_step", "images.train"),
        ({"converged": {"doublings": 0}}, "converged.doublings", "at least 1"),
        ({"data_source": ""}, "data_source", "a folder"),
        ({"scale": "Big Scale"}, "scale", "config/<scale>.yaml"),
        ({"dataset": "mnits"}, "dataset", "Did you mean mnist?"),
        ({"architectures": {"lenett": {}}}, "architectures.lenett", "Did you mean lenet?"),
        ({"architectures": {"lstm": None}}, "architectures.lstm", "write {}"),
        ({"only": ["lstn"]}, "only", "Did you mean lstm?"),
        ({"only": []}, "only", "one or more"),
        ({"only": "lstm"}, "only", "a list"),
        ({"only": "null"}, "only", "only= with nothing after it"),
        ({"differences": {"architecture": "fpc"}}, "differences.architecture", "fcp"),
        (
            {"differences": {"variants": {"long": {"paths": {"stesp": 3}}}}},
            "differences.variants.long.paths.stesp",
            "Did you mean steps?",
        ),
        (
            {"differences": {"variants": {"default": {"device": "cpu"}}}},
            "differences.variants",
            "default",
        ),
        (
            {"differences": {"variants": {"tiny": {"images": {"train": 32}}}}},
            "differences.variants.tiny.optimizers.sgd.batch_size",
            "images.train",
        ),
        (
            {"differences": {"variants": {"none": {"architectures": None}}}},
            "differences.variants.none.architectures",
            "write {}",
        ),
        (
            {"differences": {"variants": {"other": {"dataset": "digits"}}}},
            "differences.variants.other.dataset",
            "Known here: architectures, optimizers",
        ),
        (
            {"differences": {"base": {"selection": {"keep": 99}}}},
            "differences.base.selection.keep",
            "training.seeds",
        ),
        (
            {"architectures": {"fcp": {"activation": "tanh"}}},
            "architectures.fcp.activation",
            "relu",
        ),
        (
            {"architectures": {"fcp": {"override": {"kernel_pca": {}}}}},
            "architectures.fcp.override.kernel_pca",
            "Known here",
        ),
        (
            {"architectures": {"fcp": {"override": {"optimizers": {"adma": {}}}}}},
            "architectures.fcp.override.optimizers.adma",
            "Known here",
        ),
        ({"optimizers": {"rmsprop": {}}}, "optimizers.rmsprop", "write that file"),
        (
            {"optimizers": {"sgd": {"learning_rate": -0.1}}},
            "optimizers.sgd.learning_rate",
            "above 0",
        ),
        (
            {"optimizers": {"sgd": {"learning_rate": "1e-1"}}},
            "optimizers.sgd.learning_rate",
            "1.0e-4",
        ),
        (
            {"optimizers": {"adam": {"learning_rate": "1e-3"}}},
            "optimizers.adam.learning_rate",
            "1.0e-4",
        ),
        (
            {"geometry": {"optimizers": {"sgd": {"weight_decay": "1.0e3"}}}},
            "geometry.optimizers.sgd.weight_decay",
            "1.0e+4",
        ),
        (
            {"geometry": {"optimizers": {"adam": {"decays": [0.9, "1e-1"]}}}},
            "geometry.optimizers.adam.decays",
            "1.0e-4",
        ),
        (
            {"architectures": {"mlp": {"hidden": ["1e2"]}}},
            "architectures.mlp.hidden",
            "1.0e+4",
        ),
        (
            {"optimizers": {"sgd": {"learning_rate": float("inf")}}},
            "optimizers.sgd.learning_rate",
            "finite",
        ),
        ({"optimizers": {"sgd": {"momentum": 1}}}, "optimizers.sgd.momentum", "below 1"),
        ({"optimizers": {"sgd": {"momentun": 0.9}}}, "optimizers.sgd.momentun", "mean momentum?"),
        ({"optimizers": {"sgd": {"weight_decay": -1}}}, "optimizers.sgd.weight_decay", "least 0"),
        ({"optimizers": {"sgd": {"gradient_clip": 0}}}, "optimizers.sgd.gradient_clip", "above 0"),
        (
            {"optimizers": {"sgd": {"epochs": 5, "warmup_epochs": 5}}},
            "optimizers.sgd.warmup_epochs",
            "below optimizers.sgd.epochs",
        ),
        (
            {"optimizers": {"sgd": {"batch_size": 20000}}},
            "optimizers.sgd.batch_size",
            "images.train",
        ),
        ({"optimizers": {"lbfgs": {"monotone": 1}}}, "optimizers.lbfgs.monotone", "true or false"),
        ({"selection": {"keep": 9}}, "selection.keep", "raise training.seeds"),
        ({"pairs": {"count": 16}}, "pairs.count", "raise selection.keep"),
        (
            {"architectures": {"lstm": {"override": {"pairs": {"count": 16}}}}},
            "architectures.lstm.override.pairs.count",
            "only 15 pairs",
        ),
        ({"paths": {"landscapes": {"test": ["sgd_tset"]}}}, "paths.landscapes.test", "sgd_test"),
        ({"paths": {"landscapes": {"tset": ["sgd_test"]}}}, "paths.landscapes.tset", "test"),
        ({"paths": {"landscapes": {"train": []}}}, "paths.landscapes.train", "one or more"),
        ({"paths": {"penalty": -1.0}}, "paths.penalty", "at least 0"),
        ({"paths": {"keep": "best"}}, "paths.keep", "lowest, last, mean"),
        ({"paths": {"keep": "lowest"}}, "paths.keep", "images_per_step"),
        ({"paths": {"precision": "half"}}, "paths.precision", "exact, fast"),
        ({"paths": {"points": 2}}, "paths.points", "at least 3"),
        ({"paths": {"images_per_step": 0}}, "paths.images_per_step", "null for all"),
        ({"paths": {"images_per_step": 5001}}, "paths.images_per_step", "images.test"),
        ({"landscape_2d": {"penalties": [0]}}, "landscape_2d.penalties", "above 0"),
        ({"kernel_pca": {"kernels": ["linear"]}}, "kernel_pca.kernels", "rbf"),
        ({"kernel_pca": {"kernels": ["rbf", "cosine"]}}, "kernel_pca.kernels", "sigmoid"),
    ],
)
def test_an_impossible_value_is_named_with_its_place_and_cure(
    change: dict[str, Any], key: str, fix: str
) -> None:
    message = refusal(change)
    assert f"- {key}" in message
    assert "(in mine.yaml)" in message
    assert fix in message


def test_architectures_that_are_left_out_need_not_work() -> None:
    own = {"lenet": {"override": {"images": {"train": 100, "test": 50}}}}
    change = {"optimizers": {"sgd": {"batch_size": 200}}, "architectures": own}
    assert "batch_size" in refusal(change)
    config = configuration.merge(BASE, {**change, "only": ["fcp"]})
    configuration_checks.check(config, SCHEMA, [("config.yaml", config)], LIBRARY)


def test_a_further_optimizer_needs_seeds_of_its_own() -> None:
    adam = {"learning_rate": 0.1, "batch_size": 10, "epochs": 1}
    message = refusal({"optimizers": {"adam": adam}})
    assert "- training.first_seed.adam" in message
    assert (
        "is missing. Give every optimizer its first seed, far from those of the others" in message
    )
    accepted = {"optimizers": {"adam": adam}, "training": {"first_seed": {"adam": 2000}}}
    config = configuration.merge(BASE, accepted)
    configuration_checks.check(config, SCHEMA, [("config.yaml", config)], LIBRARY)


def test_the_lowest_path_names_the_override_that_draws_images() -> None:
    change = {"paths": {"keep": "lowest", "images_per_step": None}}
    message = refusal(change, COMPLETE)
    assert "null as architectures.autoencoder.override.paths.images_per_step" in message
    assert "null as paths.images_per_step" not in message
    for name in ("lenet", "lstm"):  # they keep the mean
        assert name not in message


def test_networks_from_elsewhere_are_not_held_against_seeds() -> None:
    files = {"train": "a.npy", "test": "b.safetensors"}
    change = {
        "weights": {"lenet": {"sgd": files, "lbfgs": files}},
        "architectures": {"lenet": {"override": {"selection": {"keep": 48}}}},
    }
    config = configuration.merge(BASE, change)
    configuration_checks.check(config, SCHEMA, [("config.yaml", config)], LIBRARY)
    del change["weights"]["lenet"]["sgd"]
    assert "override.selection.keep (in mine.yaml) is 48, but training.seeds" in refusal(change)


def test_more_images_than_there_are_are_refused() -> None:
    own = {"images": {"train": 1600, "test": 100}}
    change = {"images": {"train": 1500}, "architectures": {"lenet": {"override": own}}}
    config = configuration.merge(BASE, change)
    available = {"train": 1500, "test": 5000}
    with pytest.raises(ConfigurationError) as refused:
        configuration_checks.check_images(
            configuration_checks.wanted_images(config),
            available,
            Path("data"),
            [("mine.yaml", change), ("config.yaml", BASE)],
        )
    problems = str(refused.value).splitlines()[1:]
    assert problems == [
        "- architectures.lenet.override.images.train (in mine.yaml) asks for 1600 images, and data "
        "has 1500. Ask for fewer."
    ]
    available["train"] = 1600
    wanted = configuration_checks.wanted_images(config)
    configuration_checks.check_images(wanted, available, Path("data"), [])


def test_runs_of_the_second_study_may_not_ask_for_more_images_than_there_are_either() -> None:
    change = {"geometry": {"studies": {"text": {"batch_64": {"images": {"test": 900}}}}}}
    config = configuration.merge(BASE, change)
    dataset = configuration.geometry_runs(config, "text")["batch_64"]["dataset"]

    def check(of: str) -> None:
        wanted = configuration_checks.wanted_images_of_study(config, "text", of)
        available = {"train": 10**6, "test": 899}
        configuration_checks.check_images(wanted, available, Path("x"), [("mine.yaml", change)])

    with pytest.raises(ConfigurationError) as refused:
        check(dataset)
    assert str(refused.value).splitlines()[1:] == [
        "- geometry.studies.text.batch_64.images.test (in mine.yaml) asks for 900 images, and x "
        "has 899. Ask for fewer."
    ]
    check("mnist")


@pytest.mark.parametrize(
    ("optimizer", "settings", "key"),
    [
        ("sgd", {"learning_rate": -0.1}, "learning_rate"),
        ("sgd", {"epochs": 2.5}, "epochs"),
        ("adam", {"decays": [0.9, 1.0]}, "decays"),
        ("lbfgs", {"iterations": 0}, "iterations"),
    ],
)
def test_optimizers_of_the_second_study_are_checked_like_those_of_the_first(
    optimizer: str, settings: dict[str, Any], key: str
) -> None:
    run = {"optimizer": optimizer, "optimizer_settings": settings, "controls": False}
    run["probes"] = None
    message = refusal({"geometry": {"studies": {"mine": {"first": run}}}})
    assert f"- geometry.studies.mine.first.optimizer_settings.{key} (in mine.yaml)" in message
    assert "(run mine.first)" in message
    message = refusal({"geometry": {"optimizers": {optimizer: settings}}})
    assert f"- geometry.optimizers.{optimizer}.{key}" in message


def test_a_scale_whose_file_names_another_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.yaml").write_text("scale: smoke\n")
    with pytest.raises(ConfigurationError, match=r"mine\.yaml says `scale: smoke`.*results/smoke"):
        configuration.scale_file(tmp_path, "mine")
    with pytest.raises(ConfigurationError, match=r"no scale \['mine'\]"):
        configuration.scale_file(tmp_path, ["mine"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {b: 1}\nc: 2\na: {d: 1}\n", r"the key a twice .* line 3"),
        ("a:\n  b: 1\n  b: 1\n", r"the key b twice .* line 3"),
        ("a: [{b: 1, b: 2}]", r"the key b twice .* line 1"),
        ("[1, 2]", r"no keys with values, but \[1, 2\]"),
        ("word", "no keys with values, but 'word'"),
        ("a: [", "Cannot read"),
    ],
)
def test_a_file_that_would_lose_settings_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        configuration.load(file)


def test_a_section_that_is_merged_into_another_repeats_no_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: &first {b: 1, c: 2}\nd: {<<: *first, b: 3}\n")
    assert configuration.load(file)["d"] == {"b": 3, "c": 2}
    file.write_text("")
    assert configuration.load(file) == {}


def test_a_module_that_names_no_class_is_refused(tmp_path: Path) -> None:
    library = tmp_path / "topography"
    shutil.copytree(LIBRARY, library)
    (library / "architectures" / "mine.py").write_text("class Mine: ...\n")
    config = configuration.merge(BASE, {"architectures": {"mine": {}}})
    with pytest.raises(ConfigurationError, match="gives no ARCHITECTURE"):
        configuration_checks.check(config, SCHEMA, [("config.yaml", config)], library)


def test_every_setting_of_sgd_is_accepted() -> None:
    settings = {"momentum": 0.9, "weight_decay": 1e-4, "gradient_clip": None}
    change = {"optimizers": {"sgd": {**settings, "warmup_epochs": 1, "cosine_annealing": True}}}
    config = configuration.merge(BASE, change)
    configuration_checks.check(config, SCHEMA, [("config.yaml", config)], LIBRARY)
    known = SCHEMA["$defs"]["optimizers"]["properties"]["sgd"]["properties"]
    assert set(known) == set(signatures.settings_of(LIBRARY, "optimizer", "sgd"))


@pytest.mark.parametrize(
    ("dataset", "only", "said"),
    [
        ("cifar10", None, "colour images of 3 x 32 x 32 pixels, which fcp, lenet, "),
        ("cifar10", ["lstm"], "colour images of 3 x 32 x 32 pixels, which lstm cannot read"),
        ("descriptions", ["lstm"], "a text"),
        ("wikitext2", ["mlp"], "a text"),
    ],
)
def test_a_dataset_that_the_networks_cannot_read_is_refused(
    dataset: str, only: list[str] | None, said: str
) -> None:
    change = {"dataset": dataset, "only": only, "architectures": {"mlp": {"inputs": 3072}}}
    message = refusal(change)
    assert f"- dataset (in mine.yaml) is {dataset!r}, {said}" in message
    assert "second study" in message


def test_a_network_that_reads_texts_is_refused_in_the_main_study() -> None:
    change = {"architectures": {"transformer": {"tokens": 92}}}
    assert "- architectures.transformer (in mine.yaml) reads texts" in refusal(change)


@pytest.mark.parametrize(
    ("change", "key", "what"),
    [
        ({"architectures": {"mlp": {"hiden": [9]}}}, "architectures.mlp.hiden", "mean hidden?"),
        ({"architectures": {"transformer": {}}}, "architectures.transformer.tokens", "is missing"),
        (
            {"architectures": {"lstm": {"override": {"optimizers": {"adam": {"rate": 1}}}}}},
            "architectures.lstm.override.optimizers.adam.rate",
            "Known here: learning_rate",
        ),
        (
            {"differences": {"variants": {"fast": {"optimizers": {"adam": {"rate": 1}}}}}},
            "differences.variants.fast.optimizers.adam.rate",
            "is not a known key",
        ),
    ],
)
def test_settings_that_a_class_does_not_take_are_refused(
    change: dict[str, Any], key: str, what: str
) -> None:
    adam = {
        "optimizers": {"adam": {"learning_rate": 0.1, "epochs": 3, "batch_size": 9}},
        "training": {"first_seed": {"adam": 2000}},
    }
    message = refusal(change, configuration.merge(BASE, adam))
    assert f"- {key} (in " in message
    assert what in message


@pytest.mark.parametrize(
    ("run", "key", "what"),
    [
        ({"optimizer_settings": {"lr": 0.1}}, "optimizer_settings.lr", "Known here: learning_rate"),
        ({"architecture_settings": {"hiden": [9]}}, "architecture_settings.hiden", "mean hidden?"),
        ({"function_settings": {"dimensons": 3}}, "function_settings.dimensons", "dimension?"),
        ({"architecture": "fpc"}, "architecture", "Did you mean fcp?"),
        ({"optimizer": "adma"}, "optimizer", "Did you mean adam?"),
        ({"dataset": "mnits"}, "dataset", "Did you mean mnist?"),
    ],
)
def test_unknown_names_of_the_second_study_are_refused(
    run: dict[str, Any], key: str, what: str
) -> None:
    message = refusal({"geometry": {"studies": {"mine": {"first": {}, "second": run}}}})
    assert message.count("\n- ") == 1
    assert f"- geometry.studies.mine.second.{key} (in mine.yaml)" in message
    assert what in message


@pytest.mark.parametrize(
    ("section", "what"),
    [
        (
            {"optimizers": {"sgd": {"lr": 0.1}}},
            "optimizers.sgd.lr (in mine.yaml) is not a known key",
        ),
        ({"optimizers": {"sdg": {"lr": 0.1}}}, "optimizers.sdg (in mine.yaml) names"),
        (
            {"studies": {"mine": {"first": {"architecture": "transformer"}}}},
            "studies.mine.first.architecture_settings.tokens (in mine.yaml) is missing",
        ),
    ],
)
def test_settings_of_the_second_study_are_held_against_the_code(
    section: dict[str, Any], what: str
) -> None:
    assert f"- geometry.{what}" in refusal({"geometry": section})


def test_networks_that_read_colour_images_are_accepted() -> None:
    change = {
        "dataset": "cifar10",
        "only": ["mlp"],
        "architectures": {"mlp": {"inputs": 3072}, "resnet": {}},
    }
    config = configuration.merge(BASE, change)
    configuration_checks.check(
        config, SCHEMA, [("mine.yaml", change), ("config.yaml", BASE)], LIBRARY
    )


PROBES = {"interval": 8, "sizes": [16, 64], "minibatches": 3, "size": 64}


@pytest.mark.parametrize(
    ("run", "key", "what", "fix"),
    [
        ({"optimizer": "lbfgs", "controls": True}, "controls", "lbfgs have no epochs", "false"),
        ({"function": "asymmetric_linear", "controls": True}, "controls", "a function", "false"),
        ({"function": "asymmetric_linear", "probes": PROBES}, "probes", "a function", "null"),
        ({"probes": {**PROBES, "size": 32}}, "probes", "not among the sizes", "Add it"),
        (
            {
                "probes": PROBES,
                "images": {"train": 48},
                "optimizer_settings": {"batch_size": 16},
            },
            "probes",
            "train is only 48",
            "Lower",
        ),
        ({"images": {"train": 255}}, "images", "minibatches of sgd are of 256", "Raise it"),
        ({"probes": PROBES, "images": {"test": 48}}, "probes", "test is only 48", "Lower"),
        (
            {"function": "sinusoidal_mixture", "optimizer": "lbfgs"},
            "optimizer",
            "lbfgs, whose settings have no batch_size",
            "sgd",
        ),
    ],
)
def test_a_run_of_the_second_study_that_cannot_be_recorded_is_refused(
    run: dict[str, Any], key: str, what: str, fix: str
) -> None:
    message = refusal({"geometry": {"studies": {"mine": {"first": run, "second": {}}}}})
    assert message.count("\n- ") == 1
    assert f"- geometry.studies.mine.first.{key} (in mine.yaml) is " in message
    assert what in message and fix in message


def test_every_run_of_the_second_study_has_images() -> None:
    base = configuration.merge(BASE, {})
    del base["geometry"]["defaults"]["images"]["test"]
    assert "- geometry.defaults.images.test (in config.yaml) is missing" in refusal({}, base)


def test_a_default_that_one_run_makes_impossible_names_the_run() -> None:
    message = refusal({"geometry": {"defaults": {"controls": True}}})
    assert "- geometry.defaults.controls (in mine.yaml) is" in message
    assert "(run main.lbfgs)" in message and "(run functions.small_steps)" in message


def test_what_each_dataset_holds_is_known() -> None:
    names = {path.stem for path in (LIBRARY / "datasets").glob("[!_]*.py")}
    grey = {"digits", "fashion_mnist", "mnist"}
    assert names == grey | {*configuration_checks.COLOUR_DATASETS, *configuration_checks.TEXTS}


def test_a_missing_key_is_named() -> None:
    base = deepcopy(BASE)
    del base["pairs"]["seed"]
    message = refusal({}, base)
    assert "- pairs.seed (in config.yaml) is missing" in message


def test_the_figures_need_both_optimizers() -> None:
    base = deepcopy(BASE)
    del base["optimizers"]["sgd"]
    assert "- optimizers.sgd (in config.yaml) is missing" in refusal({}, base)


def test_a_general_value_that_one_override_makes_impossible_names_the_architecture() -> None:
    message = refusal({"architectures": {"lstm": {"override": {"selection": {"keep": 5}}}}})
    assert "- pairs.count (in config.yaml) is 15, but 5 kept networks form only 10" in message
    assert "(architecture lstm)" in message


def test_all_problems_are_reported_at_once() -> None:
    message = refusal({"pairs": {"cuont": 3, "per_job": 0}, "device": "gpu"})
    assert message.count("\n- ") == 3


def test_a_general_value_that_does_not_fit_an_override_is_told_once() -> None:
    assert refusal({"selection": {"keep": 9}}).count("selection.keep (") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--config", "scale=huge"],
            ["'huge'", "config/huge.yaml", "laptop, paper, reduced, smoke"],
        ),
        (["--config", "scale=schema"], ["'schema'", "laptop, paper, reduced, smoke"]),
        (["--config", "scale=../config"], ["scale"]),
        ([*SMOKE, "sale=smoke"], ["- sale (in the command line", "Did you mean scale?"]),
        (["--config", "pairs={count: 3}"], ["pairs.count", "--configfile"]),
        ([*SMOKE, "device=tpu"], ["device (in the command line", "auto, cpu, cuda"]),
    ],
)
def test_the_command_line_is_refused_without_a_traceback(
    fresh: Workflow, arguments: list[str], expected: list[str]
) -> None:
    done = fresh.run("-n", *arguments, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    for text in expected:
        assert text in said
    assert "Traceback" not in said


def test_another_dataset_in_the_folder_of_a_scale_is_refused(clone: Workflow) -> None:
    work = clone.folder / "results/smoke/selection/fcp/sgd.csv"
    work.parent.mkdir(parents=True)
    work.write_text("of digits")
    (clone.folder / "results/smoke/provenance.json").write_text('{"dataset": "digits"}')
    for asked in (["-n"], ["--cores", "1", "results/fig1.pdf"], ["-n", "geometry"]):
        done = clone.run(*asked, *SMOKE, "dataset=mnist", check=False)
        assert done.returncode != 0
        assert "results/smoke was made with the dataset digits" in done.stdout + done.stderr
    assert work.read_text() == "of digits"
    assert not (clone.folder / "results/data").exists()
    for accepted in ([*SMOKE], ["--config", "dataset=fashion_mnist"]):
        clone.run("-n", "tables", *accepted)


def test_a_bad_scale_file_is_named(clone: Workflow) -> None:
    with clone.edited("config/smoke.yaml", "keep: 3", "keep: 30"):
        done = clone.run("-n", *SMOKE, check=False)
    assert "selection.keep (in config/smoke.yaml) is 30" in done.stdout


def test_a_new_architecture_and_optimizer_are_accepted_once_their_files_exist(
    clone: Workflow, tmp_path: Path
) -> None:
    library = clone.folder / "scripts/topography"
    (library / "architectures/tiny.py").write_text("ARCHITECTURE = make_class()\n")
    (library / "optimizers/adam.py").write_text("OPTIMIZER = make_class()\n")
    file = tmp_path / "mine.yaml"
    file.write_text(
        "architectures: {tiny: {width: 3}}\n"
        "optimizers: {adam: {learning_rate: 0.001}}\n"
        "training: {first_seed: {adam: 2000}}\n"
        "paths: {landscapes: {train: [adam_train]}}\n"
    )
    jobs = clone.jobs(*SMOKE, "--configfile", str(file))
    trained = {tuple(job.wildcards.values())[:2] for job in jobs if job.rule == "train_networks"}
    assert ("tiny", "adam") in trained
    assert {"adam_train"} == {
        job.wildcards["set"]
        for job in jobs
        if job.rule == "find_paths" and job.wildcards["landscape"] == "train"
    }
