"""Merging, batches and the panel."""

from collections.abc import Sequence

import pytest

from topography.workflow import configuration, start_panel
from topography.workflow.configuration import Batch


def test_merge_goes_into_sections_and_replaces_lists() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    merged = configuration.merge(base, {"a": {"c": [4]}, "d": None})
    assert merged == {"a": {"b": 1, "c": [4]}, "d": None}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 3}


@pytest.mark.parametrize(
    ("first", "count", "size", "expected"),
    [
        (0, 75, 25, ["0-24", "25-49", "50-74"]),
        (0, 8, 3, ["0-2", "3-5", "6-7"]),
        (5, 2, 10, ["5-6"]),
        (0, 1, 1, ["0-0"]),
    ],
)
def test_batches_cover_every_item_once(
    first: int, count: int, size: int, expected: list[str]
) -> None:
    cut = configuration.batches(first, count, size)
    assert [str(batch) for batch in cut] == expected
    items = [item for batch in cut for item in range(batch.first, batch.last + 1)]
    assert items == list(range(first, first + count))


def test_more_items_keep_the_full_batches() -> None:
    assert configuration.batches(0, 100, 25)[:3] == configuration.batches(0, 75, 25)
    assert configuration.batches(0, 75, 25)[0] == Batch(0, 24)


CONFIG = {
    "scale": "small",
    "dataset": "digits",
    "device": "cpu",
    "images": {"train": 10, "test": 5},
    "architectures": {
        "fcp": {"activation": "relu"},
        "lstm": {"override": {"training": {"seeds": 2}, "pairs": {"count": 1}}},
        "lenet": {"override": None},
    },
    "optimizers": {"sgd": {"epochs": 3}, "lbfgs": {}},
    "training": {"first_seed": {"sgd": 0, "lbfgs": 9}, "seeds": 4, "seeds_per_job": 2},
    "selection": {"keep": 2},
    "pairs": {"count": 6, "per_job": 4, "seed": 0},
    "paths": {
        "terms": 10,
        "steps": 100,
        "keep": "lowest",
        "landscapes": {"train": ["sgd_train", "sgd_test"], "test": ["sgd_test"]},
    },
    "converged": {"pairs": 3, "terms": [10, 20]},
}


def test_an_override_changes_its_architecture_only() -> None:
    assert configuration.for_architecture(CONFIG, "lstm")["training"]["seeds"] == 2
    assert configuration.for_architecture(CONFIG, "lstm")["training"]["seeds_per_job"] == 2
    assert configuration.for_architecture(CONFIG, "fcp")["training"]["seeds"] == 4
    assert configuration.for_architecture(CONFIG, "lenet")["training"]["seeds"] == 4


def test_only_the_named_architectures_are_chosen_in_the_order_of_the_configuration() -> None:
    def chosen(only: list[str] | None) -> list[str]:
        return list(configuration.chosen_architectures({**CONFIG, "only": only}))

    assert chosen(None) == ["fcp", "lstm", "lenet"]
    assert chosen(["lenet", "fcp"]) == ["fcp", "lenet"]


def test_keys_come_in_the_order_of_the_first_and_keep_their_values() -> None:
    value = {"d": [2, 1], "b": {"y": 1, "z": 2, "x": 3}, "a": None}
    ordered = configuration.in_order_of({"a": {"q": 1}, "b": {"x": 0, "y": 0}, "c": 1}, value)
    assert ordered == value
    assert list(ordered) == ["a", "b", "d"]
    assert list(ordered["b"]) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("keep", "measured"), [("lowest", "last"), ("last", "last"), ("mean", "mean")]
)
def test_a_search_that_goes_on_begins_as_paths_says(keep: str, measured: str) -> None:
    config = configuration.merge(CONFIG, {"paths": {"keep": keep}})
    first = {"terms": 10, "steps": 100, "keep": measured}
    assert configuration.search_settings(config, "fcp") == {"first": first, "terms": [10, 20]}
    assert configuration.searched_pairs(CONFIG, "fcp") == 3
    assert configuration.searched_pairs(CONFIG, "lstm") == 1  # there are no more


def test_a_variant_changes_the_configuration_on_top_of_what_holds_for_all() -> None:
    named = {"short": {"paths": {"points": 9}}, "fewer": {"images": {"train": 3}}}
    base = {"paths": {"points": 7, "terms": 3}}
    config = {**CONFIG, "differences": {"architecture": "fcp", "base": base, "variants": named}}
    assert configuration.variants(config) == ["default", "short", "fewer"]
    assert configuration.with_variant(config, None) is config
    points = {name: configuration.with_variant(config, name)["paths"]["points"] for name in named}
    assert points == {"short": 9, "fewer": 7}
    assert configuration.with_variant(config, "default")["paths"]["terms"] == 3
    assert configuration.with_variant(config, "short")["pairs"] == CONFIG["pairs"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (None, [None, None, "soft", "fewer"]),
        ({"paths": {"terms": 3}, "images": {"train": 10}}, [None, None, "soft", "fewer"]),
        ({"images": {"test": 4}}, ["default", "default", "soft", "fewer"]),
        ({"images": {"train": 3}}, ["default", "default", "soft", "default"]),
    ],
)
def test_variants_that_change_paths_only_share_networks(
    base: dict | None, expected: list[str | None]
) -> None:
    named = {
        "short": {"paths": {"points": 9}},
        "soft": {"architectures": {"fcp": {"activation": "softplus"}}},
        "fewer": {"images": {"train": 3}},
    }
    config = {**CONFIG, "differences": {"architecture": "fcp", "base": base, "variants": named}}
    found = [configuration.trained_as(config, name) for name in configuration.variants(config)]
    assert found == expected


def test_a_variant_that_is_the_scale_again_is_held_against_the_default() -> None:
    differences = {
        "architecture": "fcp",
        "base": {"images": {"train": 4}},
        "variants": {"all": {"images": {"train": 10}}},
    }
    config = {**CONFIG, "differences": differences}
    found = [configuration.trained_as(config, name) for name in configuration.variants(config)]
    assert found == ["default", "all"]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("fcp", {"as_before": True, "seeds": False}), ("lstm", {"as_before": True, "seeds": True})],
)
def test_a_variant_in_force_already_or_hidden_by_an_override_changes_nothing(
    architecture: str, expected: dict[str, bool]
) -> None:
    named = {"as_before": {"paths": {"terms": 10}}, "seeds": {"training": {"seeds": 3}}}
    differences = {"architecture": architecture, "base": None, "variants": named}
    config = {**CONFIG, "differences": differences}
    assert {name: configuration.changes_nothing(config, name) for name in named} == expected
    assert not configuration.changes_nothing(config, "default")


def test_settings_of_an_architecture_leave_out_the_override() -> None:
    assert configuration.architecture_settings(CONFIG, "fcp") == {"activation": "relu"}
    assert configuration.architecture_settings(CONFIG, "lstm") == {}


def test_set_names_are_the_checkpoints_of_each_optimizer() -> None:
    expected = ["sgd_train", "sgd_test", "lbfgs_train", "lbfgs_test"]
    assert configuration.set_names(CONFIG) == expected


def panel(changed: dict, *weaker: tuple[str, dict], left_out: Sequence[str] = ()) -> str:
    """The panel of a configuration that a file of one's own changed."""
    sources = [("mine.yaml", changed), *weaker, ("config.yaml", CONFIG)]
    config: dict = {}
    for _, content in reversed(sources):
        config = configuration.merge(config, content)
    return start_panel.summary(config, sources, left_out)


def test_the_panel_counts_the_work() -> None:
    said = panel({"device": "auto", "paths": {"steps": 7}, "dataset": "digits"})
    assert "20 to train in 10 jobs" in said  # 2 optimizers x (4 + 2 + 4 seeds), 2 in a job
    assert "39 to find in 15 jobs" in said  # 3 sets x (6 + 1 + 6 pairs), 4 in a job
    assert "digits, 10 train and 5 test images\n" in said
    assert "results/small/logs/" in said
    assert "changed   device=auto, paths.steps=7 (by" in said  # the dataset is as it was
    assert "changed" not in panel({})
    assert "left out" not in said
    assert "left out  fig2 (why)" in panel({}, left_out=["fig2 (why)"])


def test_the_panel_tells_numbers_of_images_apart() -> None:
    said = panel({"architectures": {"lenet": {"override": {"images": {"train": 7}}}}})
    assert "10 train and 5 test images (fcp, lstm), 7 train and 5 test images (lenet)\n" in said


@pytest.mark.parametrize(
    ("changed", "hidden"),
    [
        ({"training": {"seeds": 9}}, ["lstm: architectures.<name>.override in config.yaml sets"]),
        ({"training": {"seeds": 9}, "pairs": {"count": 3, "per_job": 1}}, ["count"]),
        ({"training": {"seeds": 2}}, []),  # as the override has it
        ({"training": {"seeds_per_job": 1}}, []),
        ({"training": {"seeds": 9}, "architectures": {"lstm": {"override": None}}}, []),
        (
            {
                "training": {"seeds": 9},
                "architectures": {"lstm": {"override": {"training": {"seeds": 3}}}},
            },
            [],
        ),
    ],
)
def test_the_panel_names_general_settings_that_an_override_hides(
    changed: dict, hidden: list[str]
) -> None:
    lines = [line for line in panel(changed).splitlines() if line.startswith("  not for ")]
    assert len(lines) == len(hidden)
    for line, text in zip(lines, hidden, strict=True):
        assert "training.seeds" in line and text in line
        assert "per_job" not in line


def test_the_panel_groups_what_is_hidden_by_the_source_of_the_override() -> None:
    override = {"override": {"images": {"train": 3}, "training": {"seeds": 3}}}
    said = panel(
        {"images": {"train": 8, "test": 4}},
        ("config/own.yaml", {"architectures": {"lenet": override}, "training": {"seeds": 5}}),
    )
    assert "not for   lenet: architectures.<name>.override in config/own.yaml sets images." in said
    # The file of a scale can fall into the trap too, but not with its own override.
    assert "not for   lstm: architectures.<name>.override in config.yaml sets training." in said
    assert said.count("not for") == 2
