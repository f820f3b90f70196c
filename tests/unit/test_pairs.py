"""Pairs are distinct, uniformly random, reproducible and nested; seeds of streams are stable."""

import hashlib
import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample_pairs
from support.example_results import write_set
from topography import seeding, storage
from topography.analysis import pairs
from topography.jobs import command_line


def table(keep: int, seed: int = 0) -> pd.DataFrame:
    """Pairs of a set whose networks have the seeds 10, 11, ..."""
    return pairs.pair_table(np.arange(10, 10 + keep), seeding.numpy_generator(seed, "pairs/a/b"))


@given(keep=st.integers(2, 30), seed=st.integers(0, 2**40))
def test_every_pair_occurs_once(keep, seed):
    drawn = table(keep, seed)
    assert set(zip(drawn["i"], drawn["j"], strict=True)) == set(
        itertools.combinations(range(keep), 2)
    )
    assert len(drawn) == keep * (keep - 1) // 2
    assert drawn["pair"].tolist() == list(range(len(drawn)))
    assert (drawn["seed_i"] == drawn["i"] + 10).all()
    assert (drawn["seed_j"] == drawn["j"] + 10).all()


def test_first_pairs_are_uniform():
    draws = 1500
    first = Counter(
        tuple(table(4, seed).loc[:1, ["i", "j"]].to_numpy().ravel()) for seed in range(draws)
    )
    # 6 pairs, so 30 equally likely ordered samples of two
    assert len(first) == 30
    expected = draws / 30
    chi_squared = sum((count - expected) ** 2 / expected for count in first.values())
    assert chi_squared < 53.7  # 99.5 % quantile at 29 degrees of freedom; the draws are fixed


def test_order_is_reproducible_and_its_own_for_each_set():
    seeds = np.arange(20)
    generator = seeding.numpy_generator

    def order(seed: int, purpose: str) -> list[int]:
        return pairs.pair_table(seeds, generator(seed, purpose))["i"].tolist()

    assert order(0, "pairs/fcp/sgd_train") == order(0, "pairs/fcp/sgd_train")
    others = [(0, "pairs/fcp/sgd_test"), (0, "pairs/lstm/sgd_train"), (1, "pairs/fcp/sgd_train")]
    for seed, purpose in others:
        assert order(seed, purpose) != order(0, "pairs/fcp/sgd_train")


def test_one_network_has_no_pairs():
    with pytest.raises(pairs.PairsError, match=r"selection\.keep"):
        table(1)


@given(keep=st.integers(2, 15), seed=st.integers(0, 99))
def test_pairs_apart_share_no_network_as_long_as_there_are_others(keep, seed):
    drawn = table(keep, seed)
    order = pairs.apart(drawn["i"].to_numpy(), drawn["j"].to_numpy())
    assert sorted(order) == list(range(len(drawn)))
    networks = drawn.loc[order[: keep // 2], ["i", "j"]].to_numpy().ravel()
    assert len(set(networks)) == len(networks)
    assert order[0] == 0  # what comes first still does


def test_pairs_apart_go_through_the_networks_again_when_all_are_used():
    i, j = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 2, 3, 2, 3, 3])
    assert pairs.apart(i, j).tolist() == [0, 5, 1, 4, 2, 3]


def test_derived_seed_is_a_sha256():
    digest = hashlib.sha256(b"7/pairs/fcp/sgd_train").hexdigest()
    assert seeding.derive(7, "pairs/fcp/sgd_train") == int(digest[:16], 16) // 2
    assert 0 <= seeding.derive(0, "") < 2**63


def test_command_names_the_set_by_its_path(tmp_path, monkeypatch):
    written = {}
    for architecture, name in (("fcp", "sgd_train"), ("fcp", "sgd_test"), ("lstm", "sgd_train")):
        file = write_set(tmp_path / architecture / f"{name}.safetensors", np.zeros((9, 3)))
        output = tmp_path / f"{architecture}_{name}.csv"
        arguments = ["--set", str(file), "--seed", "0", "--output", str(output)]
        monkeypatch.setattr("sys.argv", ["sample_pairs.py", *arguments])
        command_line.run(sample_pairs.main)
        written[architecture, name] = storage.read_table(output)
        expected = pairs.pair_table(
            np.arange(9), seeding.numpy_generator(0, f"pairs/{architecture}/{name}")
        )
        pd.testing.assert_frame_equal(written[architecture, name], expected)
    assert len({tuple(drawn["i"]) for drawn in written.values()}) == 3
