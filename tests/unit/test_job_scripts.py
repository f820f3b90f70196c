"""The scripts of long jobs: they write what the library computes, keep their state apart from that
of other networks, and publish nothing once Snakemake is gone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from support.job_scripts import CONVERGED, OUTPUTS, PATHS, SGD, Scripts
from topography import storage
from topography.errors import TopographyError
from topography.jobs import common, converged_searches, orphans, path_searches
from topography.optimizers import get_optimizer
from topography.storage import read_table, read_tensors
from topography.training import initial_params, train


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    monkeypatch.setattr(common, "set_up_device", lambda _: torch.device("cpu"))
    return Scripts(tmp_path, monkeypatch, "mlp", inputs=784, hidden=[3])


def test_training_writes_what_the_library_trains(scripts: Scripts) -> None:
    scripts.run("train")
    training = train(
        scripts.objective("train"),
        scripts.objective("test"),
        get_optimizer("sgd", **SGD),
        [3, 4],
        initial_params(scripts.architecture, [3, 4]),
    )
    written = read_tensors(scripts.folder / "weights")
    assert written["seeds"].tolist() == [3, 4]
    for number, name in enumerate(["train_weights", "test_weights"]):
        np.testing.assert_array_equal(written[name], training.best_weights[:, number])
    history = read_table(scripts.folder / "history")
    np.testing.assert_allclose(history["test_loss"], training.curves[:, 1].flatten(), rtol=1e-6)
    assert history["epoch"].tolist() == [0, 1, 2] * 2
    runs = read_table(scripts.folder / "runs")
    assert runs["test_epoch"].tolist() == training.best_epochs[:, 1].tolist()


def test_no_seeds_are_refused(scripts: Scripts) -> None:
    with pytest.raises(TopographyError, match="--last-seed 2 lies below --first-seed 3"):
        scripts.run("train", last_seed=2)


@pytest.mark.parametrize("part", ["train", "test"])
def test_paths_are_found_on_the_landscape_asked_for(scripts: Scripts, part: str) -> None:
    scripts.run("find_paths", landscape=part)
    expected = path_searches.find_and_measure(
        scripts.objective(part),
        scripts.networks,
        torch.tensor([[0, 2], [2, 3]]),
        path_searches.PathSettings(**PATHS),
        pairs_per_batch=2,
    )
    written, notes = storage.read_tensors_and_metadata(scripts.folder / "output")
    assert {"t", "fine_t", *expected} == written.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(written[name], values, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(written["fine_t"], np.linspace(0, 1, 9))
    assert (notes["set"], notes["landscape"]) == ("sgd_train", part)


def test_paths_are_searched_on_between_the_pairs_that_share_least(scripts: Scripts) -> None:
    scripts.run("converge_paths")
    settings = converged_searches.ConvergenceSettings.from_json(CONVERGED)
    pairs, train_images = torch.tensor([[0, 1], [2, 3]]), scripts.objective("train")
    rows = converged_searches.search(
        train_images,
        scripts.networks,
        pairs,
        settings,
        landscape_at=converged_searches.landscapes(train_images, settings),
        pairs_per_batch=1,
    )
    expected = converged_searches.named(rows, pairs.numpy(), np.array([0, 2]))
    written = read_table(scripts.folder / "output")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-6)
    assert set(written["pair"]) == {0, 2}


@pytest.mark.parametrize("script", OUTPUTS)
def test_an_orphan_publishes_nothing_and_keeps_its_state(scripts: Scripts, script: str) -> None:
    def refuse() -> None:
        raise orphans.OrphanedError("gone")

    scripts.patch.setattr(orphans, "refuse_orphan", refuse)
    with pytest.raises(orphans.OrphanedError):
        scripts.run(script)
    assert not any((scripts.folder / name).exists() for name in OUTPUTS[script])
    assert (scripts.folder / "state").exists()


@pytest.mark.parametrize("script", OUTPUTS)
def test_a_finished_job_leaves_no_state(scripts: Scripts, script: str) -> None:
    scripts.run(script)
    assert not (scripts.folder / "state").exists()
    assert all((scripts.folder / name).exists() for name in OUTPUTS[script])


def other_networks(scripts: Scripts) -> None:
    scripts.write_networks(seed=1)


def other_pairs(scripts: Scripts) -> None:
    table = pd.DataFrame({"i": [0, 1, 2], "j": [2, 3, 3]}, dtype=int)
    storage.write_table(scripts.folder / "pairs.csv", table)


def other_code(module: str) -> Callable[[Scripts], None]:
    def change(scripts: Scripts) -> None:
        before = common.code_id
        scripts.patch.setattr(
            common,
            "code_id",
            lambda *names: "other code" if module in names else before(*names),
        )

    return change


@pytest.mark.parametrize(
    ("script", "change"),
    [
        ("train", other_code("topography.architectures.mlp")),
        ("train", other_code("topography.optimizers.sgd")),
        ("find_paths", other_networks),
        ("find_paths", other_pairs),
        ("find_paths", other_code("topography.architectures.mlp")),
        ("converge_paths", other_networks),
        ("converge_paths", other_pairs),
        ("converge_paths", other_code("topography.architectures.mlp")),
    ],
)
def test_the_state_of_a_job_belongs_to_its_inputs_and_code(
    scripts: Scripts, script: str, change: Callable[[Scripts], None]
) -> None:
    """Files of the same names, and modules that are found by name at run time."""
    scripts.run(script)
    scripts.run(script)
    change(scripts)
    scripts.run(script)
    first, again, other = (state.identity for state in scripts.states)
    assert first == again
    assert other != first
