"""Searches of many paths that are interrupted, or find too little memory, end as unbroken ones."""

import signal
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from reference import data, networks
from support.interruptions import KillAt, KilledError, SignalAt
from topography.architectures import get_architecture
from topography.checkpoint import Checkpoint, Interrupted
from topography.errors import TopographyError
from topography.jobs.path_searches import PathSettings, find_and_measure, read_pairs, samples
from topography.landscape import LinearCombinations
from topography.objective import NetworkCombinations, Objective
from topography.paths import find_paths
from topography.progress import Progress
from topography.randomness import generator
from topography.storage import write_table

# A penalty that raises losses again: their sum is lowest at the second or third of the steps.
SETTINGS = PathSettings(
    terms=2,
    points=6,
    fine_points=11,
    penalty=10.0,
    steps=4,
    learning_rate=0.008,
    keep="lowest",
    images_per_step=None,
    images_seed=0,
    precision="exact",
)
KEPT = [("lowest", None), ("last", None), ("last", 5), ("mean", None), ("mean", 5)]
PAIRS = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]])


def landscape(name: str) -> Objective:
    """A few random images under an architecture."""
    return Objective(get_architecture(name), *data.random_images(11, seed=8, dtype=torch.float32))


def weights(name: str) -> Tensor:
    """Four made-up networks."""
    return data.random_vectors(4, networks.PARAMETER_COUNTS[name], 0.1, dtype=torch.float32)


def search(
    pairs_per_batch: int,
    settings: PathSettings = SETTINGS,
    checkpoint: Checkpoint | None = None,
    progress: Progress | KillAt | SignalAt | None = None,
    name: str = "fcp",
) -> dict[str, Tensor]:
    """Paths between five pairs of networks."""
    return find_and_measure(
        landscape(name), weights(name), PAIRS, settings, pairs_per_batch, checkpoint, progress
    )


def eager(folder: Path) -> Checkpoint:
    """A checkpoint that is saved at every opportunity."""
    return Checkpoint(folder / "state", "identity", interval=0.0)


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Check for equality, bit for bit."""
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize(("keep", "images_per_step"), KEPT)
def test_paths_and_losses_are_those_of_find_paths(keep: str, images_per_step: int | None) -> None:
    settings = replace(SETTINGS, keep=keep, images_per_step=images_per_step)
    found = search(2, settings)
    names = ("terms", "points", "penalty", "steps", "learning_rate", "keep")
    objective, ends = landscape("fcp"), weights("fcp")
    paths = find_paths(
        objective,
        ends[PAIRS[:, 0]],
        ends[PAIRS[:, 1]],
        landscape_at=samples(objective, images_per_step, settings.images_seed),
        **{name: getattr(settings, name) for name in names},
    )
    assert torch.equal(found["pairs"], PAIRS)
    assert torch.equal(found["coefficients"], paths.coefficients)
    assert torch.equal(found["step_losses"], paths.step_losses)
    straight = (ends[PAIRS[:, 0]] - ends[PAIRS[:, 1]]).double().norm(dim=1)
    for count, name in ((6, "losses"), (11, "fine_losses")):
        points = paths.points(count)
        expected = torch.stack([objective.losses(of_one) for of_one in points])
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=0, check_dtype=False)
    polygons = points.double().diff(dim=1).norm(dim=2).sum(dim=1)
    torch.testing.assert_close(found["lengths"], polygons, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["straight_lengths"], straight, rtol=1e-5, atol=0)
    for row, (start, end) in enumerate(zip(ends[PAIRS[:, 0]], ends[PAIRS[:, 1]], strict=True)):
        line = torch.lerp(end, start, torch.linspace(0, 1, 6)[:, None])
        expected = objective.losses(line)
        torch.testing.assert_close(found["straight_losses"][row], expected, rtol=1e-5, atol=0)
    if keep == "lowest":
        assert set(found["step_losses"].argmin(dim=1).tolist()) == {1, 2}


def test_every_step_and_every_seed_draws_images_of_its_own() -> None:
    objective = landscape("fcp")

    def drawn(step: int, seed: int) -> Tensor:
        return samples(objective, 5, seed)(step).images

    for step, seed in ((0, 0), (1, 0), (0, 1)):
        order = torch.randperm(11, generator=generator(seed, f"path images/step {step}"))
        assert torch.equal(drawn(step, seed), objective.images[order[:5]])
    assert not torch.equal(drawn(0, 0), drawn(1, 0))
    assert not torch.equal(drawn(0, 0), drawn(0, 1))


# Attempts: pairs per batch, the steps of all paths together after which it is killed, before they
# are saved, and those that it reports, which tell where it goes on.
PARTS = [12, 13, 14, 16, 18, 20]  # two paths, one that was left behind, and two
ATTEMPTS = {
    "one batch": [(5, 5, [5]), (5, 15, [5, 10, 15]), (5, 20, [15, 20]), (5, -1, [20])],
    "from large to small": [(5, 15, [5, 10, 15]), (2, 16, [12, 14, 16]), (1, -1, [*range(15, 21)])],
    "from small to large": [(2, 6, [2, 4, 6]), (5, 17, [6, 8, 11, 14, 17]), (5, -1, [17, 20])],
    "parts of a part": [(5, 10, [5, 10]), (3, 11, [8, 11]), (2, 12, [10, 12]), (5, -1, PARTS)],
}


@pytest.mark.parametrize("attempts", ATTEMPTS.values(), ids=ATTEMPTS)
@pytest.mark.parametrize(("keep", "images_per_step"), KEPT)
def test_a_killed_search_ends_where_an_unbroken_one_ends(
    keep: str, images_per_step: int | None, attempts: list, tmp_path: Path
) -> None:
    """In batches of the same and of other sizes, and nothing that was saved is searched again."""
    settings = replace(SETTINGS, keep=keep, images_per_step=images_per_step)
    unbroken = search(1, settings)
    for pairs_per_batch, fatal, expected in attempts:
        progress = KillAt(fatal)
        if fatal == -1:
            found = search(pairs_per_batch, settings, eager(tmp_path), progress)
        else:
            with pytest.raises(KilledError):
                search(pairs_per_batch, settings, eager(tmp_path), progress)
        assert progress.reported == expected
    assert_same(found, unbroken)


@pytest.mark.parametrize("name", ["lenet", "autoencoder", "lstm"])
def test_so_do_those_of_other_networks(name: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, keep="mean", images_per_step=5, steps=2)
    with pytest.raises(KilledError):
        search(5, settings, eager(tmp_path), KillAt(10), name)
    resumed = search(2, settings, eager(tmp_path), name=name)
    assert_same(resumed, search(5, settings, name=name))


def test_paths_are_not_searched_again_when_their_measuring_was_cut_short(tmp_path: Path) -> None:
    class KilledInMeasuring(KillAt):
        def note(self, detail: str) -> None:
            raise KilledError(detail)

    with pytest.raises(KilledError, match="measuring 5 paths"):
        search(5, checkpoint=eager(tmp_path), progress=KilledInMeasuring(-1))
    progress = KillAt(-1)
    resumed = search(2, checkpoint=eager(tmp_path), progress=progress)
    assert progress.reported == []
    assert_same(resumed, search(5))


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("done", [10, 20])
def test_a_job_of_one_batch_that_is_asked_to_stop_does_after_the_step(
    number: signal.Signals, done: int, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "identity", interval=1e9)
    checkpoint.stop_on_signals()
    with pytest.raises(Interrupted, match=number.name):
        search(5, checkpoint=checkpoint, progress=SignalAt(done, number))
    progress = KillAt(-1)
    resumed = search(5, checkpoint=eager(tmp_path), progress=progress)
    assert progress.reported == [*range(done + 5, 21, 5)]
    assert_same(resumed, search(5))


# Too little memory --------------------------------------------------------------------------------


def allow(monkeypatch: pytest.MonkeyPatch, most: int, method: str) -> list[weakref.ref]:
    """Let the memory hold so many paths at a time, and ends of any number; returns the list that
    will hold their vectors that were too many."""
    original = getattr(NetworkCombinations, method)
    failed: list[weakref.ref] = []

    def limited(combination: LinearCombinations, mixing: Tensor, **others: int) -> object:
        if len(combination.vectors) > most and mixing.shape[-2] > 2:
            failed.append(weakref.ref(combination.vectors))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(combination, mixing, **others)

    monkeypatch.setattr(NetworkCombinations, method, limited)
    return failed


def test_a_resumed_batch_that_is_too_large_now_goes_on_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken = search(5)
    with pytest.raises(KilledError):
        search(5, checkpoint=eager(tmp_path), progress=KillAt(15))
    allow(monkeypatch, 2, "losses_and_gradients")
    progress = KillAt(-1)
    resumed = search(5, checkpoint=eager(tmp_path), progress=progress)
    assert progress.reported == [12, 14, 16, 18, 19, 20]
    assert "out of memory: going on with 2 at a time" in capsys.readouterr().err
    assert_same(resumed, unbroken)


def test_paths_that_can_only_be_measured_in_parts_are_not_searched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unbroken = search(5)
    allow(monkeypatch, 1, "losses")
    progress = KillAt(-1)
    assert_same(search(5, progress=progress), unbroken)
    assert progress.reported == [5, 10, 15, 20]


@pytest.mark.parametrize("method", ["losses_and_gradients", "losses"])
def test_memory_is_given_back_when_nothing_holds_the_failed_batch(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = allow(monkeypatch, 2, method)
    freed: list[bool] = []

    def empty_cache() -> None:
        assert sys.exc_info() == (None, None, None)
        freed.append(failed[-1]() is None)

    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    search(5)
    assert freed == [True]


def test_one_pair_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 0, "losses_and_gradients")
    with pytest.raises(torch.OutOfMemoryError):
        search(5)


def test_pairs_are_read_by_their_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "pairs.csv", pd.DataFrame({"i": [0, 0, 1], "j": [1, 2, 2]}))
    assert read_pairs(tmp_path / "pairs.csv", 1, None, 3).tolist() == [[0, 2], [1, 2]]
    with pytest.raises(TopographyError, match=r"rows 0 to 2, but 2 to 3 are asked for"):
        read_pairs(tmp_path / "pairs.csv", 2, 3, 3)


@pytest.mark.parametrize("unknown", [-1, 3])
def test_a_pair_of_a_network_that_is_not_there_is_refused(tmp_path: Path, unknown: int) -> None:
    write_table(tmp_path / "pairs.csv", pd.DataFrame({"i": [0, unknown], "j": [1, 2]}))
    with pytest.raises(TopographyError, match=f"network {unknown}, but the set has 0 to 2"):
        read_pairs(tmp_path / "pairs.csv", 0, None, 3)
