"""Statistics of all components, and distances from the common origin."""

import math

import numpy as np
import pytest

import vector_lengths
import weight_statistics as weight_statistics_script
from support.example_results import write_set
from topography import storage
from topography.analysis.weight_statistics import WeightError, length_tables, statistics_table
from topography.jobs import command_line

SETS = ("lbfgs_train", "lbfgs_test", "sgd_train", "sgd_test")


def example_sets(seed: int = 0, keep: int = 6, parameters: int = 30) -> dict[str, dict]:
    """Four sets of random vectors with different spreads and centres."""
    generator = np.random.default_rng(seed)
    return {
        name: {
            "weights": (0.1 * row + (1 + row) * generator.standard_normal((keep, parameters))),
            "seeds": np.arange(keep) + 100 * row,
        }
        for row, name in enumerate(SETS)
    }


def test_mean_and_spread_of_all_components():
    weights = np.random.default_rng(1).standard_normal((7, 11)).astype(np.float32)
    components = [float(value) for value in weights.ravel()]
    mean = math.fsum(components) / 77
    variance = math.fsum((value - mean) ** 2 for value in components) / 77
    row = statistics_table({"sgd_train": weights}).iloc[0]
    assert row["set"] == "sgd_train"
    assert row["mean"] == pytest.approx(mean, rel=1e-12)
    assert row["standard_deviation"] == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert (row["components"], row["parameters"]) == (77, 11)


def test_sums_are_exact_enough_in_float32_data():
    # half of the components 1, half -1 + 1e-6: the mean is lost if summed in float32
    weights = np.tile(np.array([1.0, -1.0 + 1e-6], np.float32), (48, 30_000))
    row = statistics_table({"set": weights}).iloc[0]
    exact = (1.0 + float(np.float32(-1.0 + 1e-6))) / 2
    assert row["mean"] == pytest.approx(exact, rel=1e-9)


def test_lengths_by_plain_loops():
    sets = example_sets()
    lengths, centroids = length_tables(sets)
    mean = {
        name: [math.fsum(column) / 6 for column in sets[name]["weights"].T]
        for name in ("lbfgs_test", "sgd_test")
    }
    origin = [(a + b) / 2 for a, b in zip(mean["lbfgs_test"], mean["sgd_test"], strict=True)]
    for name in SETS:
        expected = [math.dist(vector, origin) for vector in sets[name]["weights"]]
        rows = lengths[lengths["set"] == name]
        np.testing.assert_allclose(rows["length"], expected, rtol=1e-12)
        assert rows["seed"].tolist() == sets[name]["seeds"].tolist()
    for name, distance in zip(centroids["set"], centroids["distance"], strict=True):
        assert distance == pytest.approx(math.dist(mean[name], origin), rel=1e-12)


def test_centroids_are_equally_far_from_the_origin():
    _, centroids = length_tables(example_sets(3))
    assert centroids["set"].tolist() == ["lbfgs_test", "sgd_test"]
    assert centroids["distance"].iloc[0] == pytest.approx(centroids["distance"].iloc[1], rel=1e-12)


def test_lengths_do_not_depend_on_where_zero_is():
    sets = example_sets()
    shift = np.random.default_rng(5).standard_normal(30)
    moved = {
        name: {**content, "weights": content["weights"] + shift} for name, content in sets.items()
    }
    np.testing.assert_allclose(
        length_tables(sets)[0]["length"], length_tables(moved)[0]["length"], rtol=1e-12
    )


def test_missing_set_is_named():
    sets = example_sets()
    del sets["sgd_test"]
    with pytest.raises(WeightError, match=r"\['sgd_test'\] are needed.*--sets"):
        length_tables(sets)


def test_sets_of_different_architectures_are_an_error():
    sets = example_sets()
    sets["sgd_train"]["weights"] = np.zeros((6, 31))
    with pytest.raises(WeightError, match="different lengths"):
        length_tables(sets)


def test_commands(tmp_path, monkeypatch):
    sets = example_sets()
    files = [
        write_set(tmp_path / f"{name}.safetensors", content["weights"], content["seeds"])
        for name, content in sets.items()
    ]
    common = ["command", "--sets", *map(str, files)]
    outputs = {name: str(tmp_path / f"{name}.csv") for name in ("s", "lengths", "centroids")}
    monkeypatch.setattr("sys.argv", [*common, "--output", outputs["s"]])
    command_line.run(weight_statistics_script.main)
    monkeypatch.setattr(
        "sys.argv",
        [*common, "--lengths", outputs["lengths"], "--centroids", outputs["centroids"]],
    )
    command_line.run(vector_lengths.main)
    statistics = storage.read_table(outputs["s"])
    assert statistics["set"].tolist() == list(SETS)
    assert statistics["standard_deviation"].is_monotonic_increasing
    lengths = storage.read_table(outputs["lengths"])
    np.testing.assert_allclose(lengths["length"], length_tables(sets)[0]["length"], rtol=1e-6)
    assert list(storage.read_table(outputs["centroids"]).columns) == ["set", "distance"]
