"""Kernel PCA against the formulas of the paper (section II.4)."""

import numpy as np
import pytest

import kernel_pca as kernel_pca_script
from support.example_results import write_set
from topography import storage
from topography.analysis.kernel_pca import (
    KERNELS,
    one_of_each_seed,
    principal_components,
    projection_table,
    with_fixed_signs,
)
from topography.analysis.sets import COMPARISONS
from topography.analysis.weight_statistics import WeightError
from topography.jobs import command_line


def by_the_paper(vectors: np.ndarray, kernel) -> np.ndarray:
    """Projections by the formulas, each alpha scaled to a direction of length 1.

    Centre K, solve K~ alpha = lambda alpha, PC_k(x) = sum_i alpha_i k~(x, x_i)."""
    count = len(vectors)
    matrix = np.array([[kernel(x, y) for y in vectors] for x in vectors])
    centring = np.eye(count) - np.ones((count, count)) / count
    centred = centring @ matrix @ centring
    values, alphas = np.linalg.eigh(centred)
    columns = []
    for value, alpha in list(zip(values, alphas.T, strict=True))[:-3:-1]:
        np.testing.assert_allclose(centred @ alpha, value * alpha, atol=1e-10)
        columns.append(centred @ (alpha / np.sqrt(value)))
    return np.stack(columns, axis=1)


def formulas(parameters: int) -> dict:
    """Kernel functions with 2 sigma^2 = 1 / gamma = N_prm."""
    return {
        "rbf": lambda x, y: np.exp(-np.sum((x - y) ** 2) / parameters),
        "linear": lambda x, y: x @ y,
        "polynomial": lambda x, y: (x @ y / parameters + 1) ** 3,
        "sigmoid": lambda x, y: np.tanh(x @ y / parameters + 1),
        "pca": lambda x, y: x @ y,
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_projections_follow_the_paper(kernel):
    vectors = np.random.default_rng(2).standard_normal((14, 9)) * np.linspace(0.5, 3, 9)
    expected = with_fixed_signs(by_the_paper(vectors, formulas(9)[kernel]))
    np.testing.assert_allclose(principal_components(vectors, kernel), expected, atol=1e-9)


@pytest.mark.parametrize(("count", "low", "high"), [(4, 0.5, 0.75), (8, 0.99, 1.0)])
def test_it_takes_more_than_four_networks_to_tell_spreads_apart(count, low, high):
    """Independent vectors with as many numbers, and with the spreads, of LSTMs at scale reduced.

    The first component tells the optimizers apart with 8 networks a side, and with 4 no better than
    chance, so that docs/agreement.md calls its verdict a matter of numbers.
    """
    generator = np.random.default_rng(0)
    spreads = np.repeat([0.736, 0.255], count)[:, None]
    areas = []
    for _ in range(20):
        vectors = spreads * generator.standard_normal((2 * count, 15_456))
        first = principal_components(vectors, "rbf")[:, 0]
        area = np.mean(first[:count, None] > first[count:])
        areas.append(max(area, 1 - area))
    assert low <= np.mean(areas) <= high


def test_float32_vectors_are_projected_in_float64():
    vectors = (1 + 1e-3 * np.random.default_rng(3).standard_normal((10, 2000))).astype(np.float32)
    expected = principal_components(vectors.astype(np.float64), "rbf")
    np.testing.assert_allclose(principal_components(vectors, "rbf"), expected, rtol=1e-9)


def test_largest_entry_of_each_component_is_positive():
    components = np.array([[1.0, 0.5], [-3.0, 0.2], [2.0, -0.4]])
    np.testing.assert_array_equal(with_fixed_signs(components)[:, 0], [-1, 3, -2])
    np.testing.assert_array_equal(with_fixed_signs(components)[:, 1], [0.5, 0.2, -0.4])
    np.testing.assert_array_equal(with_fixed_signs(np.zeros((3, 2))), 0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_projections_have_the_fixed_signs(kernel):
    for seed in range(6):
        vectors = np.random.default_rng(seed).standard_normal((8, 5))
        components = principal_components(vectors, kernel)
        np.testing.assert_array_equal(components, with_fixed_signs(components))


def shells(generator: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """Vectors in random directions: L-BFGS train long, the two test sets short."""
    return {
        name: {
            "weights": (spread * generator.standard_normal((20, 500))).astype(np.float32),
            "seeds": np.arange(first, first + 20),
        }
        for name, spread, first in (
            ("lbfgs_train", 1.2, 100),
            ("lbfgs_test", 0.3, 100),
            ("sgd_test", 0.3, 0),
        )
    }


@pytest.mark.parametrize(
    ("first", "second", "first_chosen", "second_chosen"),
    [
        ([3, 1, 2], [5, 4], [3, 1, 2], [5, 4]),
        ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2], [3, 1]),
        ([5, 0, 1, 2], [2, 7, 8, 9], [5, 0, 1, 2], [7, 8, 9]),
        ([4, 3], [3, 4, 5, 6], [4, 3], [5, 6]),
    ],
)
def test_networks_of_one_seed_are_projected_once(first, second, first_chosen, second_chosen):
    masks = one_of_each_seed(first, second)
    assert np.array(first)[masks[0]].tolist() == first_chosen
    assert np.array(second)[masks[1]].tolist() == second_chosen


def test_common_starts_do_not_hide_the_optimizers():
    """Networks that stay near a start of their own, with 24 starts in common or with none.

    All 24 of both sides projected at once, the first component tells starts apart."""
    generator = np.random.default_rng(8)
    starts = generator.standard_normal((24, 2000))
    long, short = starts + generator.standard_normal((2, 24, 2000)) * [[[0.8]], [[0.1]]]

    def area(outer, inner):
        above = np.mean(outer[:, None] > inner)
        return max(above, 1 - above)

    together = principal_components(np.concatenate([long, short]), "rbf")[:, 0]
    assert area(together[:24], together[24:]) < 0.7
    seeds = np.arange(24)
    sets = {
        "lbfgs_train": {"weights": long, "seeds": seeds},
        "lbfgs_test": {"weights": long, "seeds": seeds},
        "sgd_test": {"weights": short, "seeds": seeds},
    }
    table = projection_table(sets, ["rbf"])
    of_first = table[table["comparison"] == "lbfgs_train-sgd_test"].set_index("set")["pc1"]
    apart = [of_first[name].to_numpy() for name in ("lbfgs_train", "sgd_test")]
    assert [len(side) for side in apart] == [12, 12]
    assert area(*apart) == 1


def test_only_the_rbf_kernel_separates_shells_and_does_so_along_the_first_component():
    table = projection_table(shells(np.random.default_rng(4)), KERNELS)
    table = table[table["comparison"] == "lbfgs_train-sgd_test"]
    for kernel in KERNELS:
        rows = table[table["kernel"] == kernel]
        inner = rows.loc[rows["set"] == "sgd_test", "pc1"]
        outer = rows.loc[rows["set"] == "lbfgs_train", "pc1"]
        separate = outer.max() < inner.min() or inner.max() < outer.min()
        assert separate == (kernel == "rbf"), kernel


def test_table_holds_every_comparison_kernel_and_vector():
    table = projection_table(shells(np.random.default_rng(4)), ["rbf", "pca"])
    assert list(table.columns) == ["comparison", "kernel", "set", "seed", "pc1", "pc2"]
    counts = table.groupby(["comparison", "kernel", "set"]).size()
    assert (counts == 20).all()
    assert len(counts) == 8
    assert table["comparison"].unique().tolist() == list(COMPARISONS)
    for comparison, rows in table.groupby("comparison"):
        assert rows["set"].unique().tolist() == comparison.split("-")


@pytest.mark.parametrize("kernel", KERNELS)
def test_two_vectors_are_enough(kernel):
    components = principal_components(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), kernel)
    assert components.shape == (2, 2)
    assert np.isfinite(components).all()


def test_missing_set_is_named():
    sets = shells(np.random.default_rng(4))
    del sets["lbfgs_test"]
    with pytest.raises(WeightError, match=r"\['lbfgs_test'\] are needed"):
        projection_table(sets, ["rbf"])


def test_command_gives_the_same_table_every_time(tmp_path, monkeypatch):
    sets = shells(np.random.default_rng(6))
    files = [
        write_set(tmp_path / f"{name}.safetensors", content["weights"], content["seeds"])
        for name, content in sets.items()
    ]
    written = []
    for name in ("first.csv", "second.csv"):
        arguments = ["--sets", *files, "--kernels", "rbf", "--output", tmp_path / name]
        monkeypatch.setattr("sys.argv", ["kernel_pca.py", *map(str, arguments)])
        command_line.run(kernel_pca_script.main)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    table = storage.read_table(tmp_path / "first.csv")
    expected = projection_table(sets, ["rbf"])
    np.testing.assert_allclose(table["pc1"], expected["pc1"], atol=1e-8)
