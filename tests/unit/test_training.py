"""Training of many seeds: curves, early stopping, failures, interruption, and real MNIST."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from reference import data, networks
from reference.sgd import run_sgd
from support.interruptions import KillAt, KilledError, SignalAt
from topography.architectures import get_architecture
from topography.checkpoint import Checkpoint, Interrupted
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.optimizers.base import Optimizer, minibatch_order
from topography.storage import read_table, read_tensors
from topography.training import Training, initial_params, train
from train import write_results

NAMES = ["fcp", "lenet", "autoencoder", "lstm"]
OPTIMIZERS = ["sgd", "lbfgs"]
TRAIN_IMAGES, TEST_IMAGES, BATCH_SIZE, EPOCHS = 36, 21, 16, 4


def make_optimizer(name: str, epochs: int = EPOCHS) -> Optimizer:
    """Return an optimizer with the paper's settings, but small minibatches."""
    if name == "sgd":
        return get_optimizer("sgd", learning_rate=0.1, batch_size=BATCH_SIZE, epochs=epochs)
    return get_optimizer("lbfgs", iterations=epochs)


def make_objectives(
    name: str, dtype: torch.dtype = torch.float32, **settings: str
) -> tuple[Objective, Objective]:
    """Return the objectives of random train and test images."""
    architecture = get_architecture(name, **settings)
    train_images = data.random_images(TRAIN_IMAGES, seed=1, dtype=dtype)
    test_images = data.random_images(TEST_IMAGES, seed=2, dtype=dtype)
    return Objective(architecture, *train_images), Objective(architecture, *test_images)


def run(
    objectives: tuple[Objective, Objective],
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor | None = None,
    **others: object,
) -> Training:
    """Train these seeds from their own initialisation, or from params [S, P]."""
    if params is None:
        params = initial_params(objectives[0].architecture, seeds).to(objectives[0].images.dtype)
    return train(*objectives, optimizer, seeds, params, **others)


def assert_same(first: Training, second: Training) -> None:
    """Check two trainings for equality, bit for bit, NaN included."""
    assert first.seeds == second.seeds
    assert first.epoch == second.epoch
    assert first.failures == second.failures
    for name in ("params", "curves", "best_weights"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert torch.equal(ours.isnan(), theirs.isnan()), name
        assert torch.equal(ours.nan_to_num(), theirs.nan_to_num()), name
    assert first.state.keys() == second.state.keys()
    for name, tensor in first.state.items():
        assert torch.equal(tensor.nan_to_num(), second.state[name].nan_to_num()), name


# What a training is -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_curves_and_early_stopping_equal_one_network_at_a_time(name: str) -> None:
    """SGD in float64: both curves, and the weights at their minima, from a loop over epochs."""
    seeds = [0, 5]
    train_objective, test_objective = make_objectives(name, torch.float64)
    training = run((train_objective, test_objective), make_optimizer("sgd"), seeds)
    for row, seed in enumerate(seeds):
        vector = initial_params(train_objective.architecture, [seed])[0].double()
        vectors = [vector]
        for epoch in range(1, EPOCHS + 1):
            order = minibatch_order([seed], epoch, TRAIN_IMAGES)[0].tolist()
            minibatches = [order[k : k + BATCH_SIZE] for k in range(0, TRAIN_IMAGES, BATCH_SIZE)]
            vector = run_sgd(
                name, vector, train_objective.images, train_objective.labels, minibatches, 0.1
            )
            vectors.append(vector)
        for curve, objective in enumerate((train_objective, test_objective)):
            losses = [
                networks.loss_and_gradient(name, vector, objective.images, objective.labels)[0]
                for vector in vectors
            ]
            assert training.curves[row, curve].tolist() == pytest.approx(losses, rel=1e-10)
            best = losses.index(min(losses))
            assert training.best_epochs[row, curve].item() == best
            assert training.best_losses[row, curve].item() == pytest.approx(min(losses), rel=1e-10)
            error = (training.best_weights[row, curve] - vectors[best]).abs().max()
            assert error.item() < 1e-10


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_best_weights_have_the_lowest_losses_of_their_curves(optimizer: str) -> None:
    """Random labels are soon overfitted: the test curve has its minimum before the train curve."""
    objectives = make_objectives("fcp")
    training = run(objectives, make_optimizer(optimizer, 25), [0, 1])
    assert training.epoch == 25
    assert not training.failures
    assert training.curves.shape == (2, 2, 26)
    assert training.curves.isfinite().all()
    assert torch.equal(training.best_losses, training.curves.amin(dim=2))
    assert torch.equal(training.best_epochs, training.curves.argmin(dim=2))
    assert (training.best_epochs[:, 0] > training.best_epochs[:, 1]).all()
    for curve, objective in enumerate(objectives):
        losses = objective.losses(training.best_weights[:, curve].contiguous())
        assert torch.allclose(losses, training.best_losses[:, curve], rtol=1e-5)
        first = objective.losses(initial_params(objective.architecture, [0, 1]))
        assert torch.equal(training.curves[:, curve, 0], first)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NAMES)
def test_seeds_do_not_depend_on_batch_mates(name: str, optimizer: str) -> None:
    """Three seeds together end bit for bit where each one alone ends; 0 is a seed like others."""
    objectives = make_objectives(name)
    seeds = [0, 1, 11]
    together = run(objectives, make_optimizer(optimizer), seeds)
    for row, seed in enumerate(seeds):
        alone = run(objectives, make_optimizer(optimizer), [seed])
        assert torch.equal(alone.curves[0], together.curves[row])
        assert torch.equal(alone.params[0], together.params[row])
        assert torch.equal(alone.best_weights[0], together.best_weights[row])
    assert not torch.equal(together.curves[0], together.curves[1])


@pytest.mark.parametrize("seeds", [[0], [0, 1, 1], [0, 1, 2, 3]])
def test_every_network_needs_a_seed_of_its_own(seeds: list[int]) -> None:
    objective = Objective(get_architecture("fcp"), *data.random_images(5, seed=0))
    params = initial_params(objective.architecture, [0, 1, 2]).double()
    optimizer = get_optimizer("lbfgs", iterations=1)
    with pytest.raises(ValueError, match="for 3 networks; each needs a seed of its own"):
        train(objective, objective, optimizer, seeds, params)


@pytest.mark.parametrize("name", ["sgd", "adam", "lbfgs"])
def test_weights_that_ask_for_gradients_are_trained_as_they_are(name: str) -> None:
    """Such as the parameters of a module, `nn.utils.parameters_to_vector` of them."""
    objective = Objective(get_architecture("lenet"), *data.random_images(6, seed=0))
    given = {"iterations": 1} if name == "lbfgs" else {"learning_rate": 0.1, "batch_size": 4}
    optimizer = get_optimizer(name, **given, **({} if name == "lbfgs" else {"epochs": 1}))
    params = initial_params(objective.architecture, [0, 1]).double()
    found, expected = (
        train(objective, objective, optimizer, [0, 1], start)
        for start in (params.clone().requires_grad_(), params)
    )
    assert not found.params.requires_grad
    assert torch.equal(found.params, expected.params)


def test_initial_params_are_those_of_the_seeds() -> None:
    architecture = get_architecture("lstm")
    params = initial_params(architecture, [0, 1, 2])
    assert params.shape == (3, networks.PARAMETER_COUNTS["lstm"])
    assert torch.equal(params[[2, 0]], initial_params(architecture, [2, 0]))
    assert not torch.equal(params[0], params[1])


def test_a_seed_stands_for_the_same_numbers_in_every_version() -> None:
    """Of results published with their seeds: another stream would make them others."""
    params = initial_params(get_architecture("fcp"), [0, 7])
    expected = [[-0.01205118652, -0.13379094005], [1.905220051e-05, 0.07884772122]]
    torch.testing.assert_close(params[:, [0, -1]], torch.tensor(expected), rtol=1e-6, atol=0)
    orders = [[3, 5, 4, 2, 6, 1, 7, 0], [4, 5, 0, 7, 6, 1, 2, 3]]
    assert minibatch_order([0, 7], 3, 8).tolist() == orders


# Failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_seed_with_broken_weights_fails_alone(optimizer: str, value: float) -> None:
    objectives = make_objectives("fcp")
    seeds = [4, 0, 9]
    params = initial_params(objectives[0].architecture, seeds)
    params[1, 17] = value
    training = run(objectives, make_optimizer(optimizer), seeds, params)
    assert list(training.failures) == [0]
    assert "epoch 0" in training.failures[0]
    assert training.best_weights[1].isnan().all()
    assert training.best_weights[[0, 2]].isfinite().all()
    healthy = run(objectives, make_optimizer(optimizer), [4, 9])
    assert torch.equal(training.curves[[0, 2]], healthy.curves)
    assert torch.equal(training.best_weights[[0, 2]], healthy.best_weights)
    assert training.curves[1, :, 1:].isnan().all()


def test_progress_tells_the_losses_of_the_seeds_that_go_on() -> None:
    objectives = make_objectives("fcp")
    params = initial_params(objectives[0].architecture, [4, 0, 9])
    params[1, 17] = math.nan
    said = []
    progress = SimpleNamespace(update=lambda done, detail: said.append((done, detail)))
    training = train(*objectives, make_optimizer("sgd", 2), [4, 0, 9], params, progress=progress)
    train_loss, test_loss = training.curves[[0, 2]].mean(0)[:, 2].tolist()
    losses = f"mean train loss {train_loss:.3e}, test loss {test_loss:.3e}"
    assert [done for done, _ in said] == [1, 2]
    assert said[-1][1] == f"{losses}, 1 failed"


@pytest.mark.parametrize(("name", "scale"), [("fcp", 1e6), ("lenet", 10.0)])
def test_a_seed_that_diverges_later_fails_alone(name: str, scale: float) -> None:
    """Weights so large that every step overshoots further, for one or more epochs."""
    objectives = make_objectives(name)
    seeds = [0, 1, 2]
    params = initial_params(objectives[0].architecture, seeds)
    params[2] *= scale
    training = run(objectives, make_optimizer("sgd", 8), seeds, params)
    assert list(training.failures) == [2]
    reason = training.failures[2]
    epoch = int(reason.split("epoch ")[1].split(":")[0])
    assert epoch >= 1
    assert "train loss" in reason
    assert training.curves[2, :, :epoch].isfinite().all()
    assert training.curves[2, :, epoch + 1 :].isnan().all()
    assert training.best_weights[2].isnan().all()
    healthy = run(objectives, make_optimizer("sgd", 8), [0, 1])
    assert torch.equal(training.curves[:2], healthy.curves)
    assert torch.equal(training.params[:2], healthy.params)
    assert torch.equal(training.best_weights[:2], healthy.best_weights)


def test_all_seeds_failing_ends_the_training() -> None:
    objectives = make_objectives("fcp")
    params = torch.full((2, networks.PARAMETER_COUNTS["fcp"]), math.nan)
    training = run(objectives, make_optimizer("sgd"), [0, 1], params)
    assert sorted(training.failures) == [0, 1]
    assert training.epoch == 0
    assert training.best_epochs.tolist() == [[-1, -1], [-1, -1]]
    assert training.best_losses.isnan().all()


# Interruption -----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_training_ends_where_an_unbroken_one_ends(
    name: str, optimizer: str, tmp_path: Path
) -> None:
    """Killed twice, once with nothing new saved; one seed had failed before the first kill."""
    epochs = 4
    objectives = make_objectives(name)
    seeds = [0, 3, 8]
    params = initial_params(objectives[0].architecture, seeds)
    params[1, 0] = math.nan
    unbroken = run(objectives, make_optimizer(optimizer, epochs), seeds, params.clone())
    assert list(unbroken.failures) == [3]

    def resume(progress: KillAt) -> Training:
        checkpoint = Checkpoint(tmp_path / "state.safetensors", "identity", interval=0.0)
        return run(
            objectives,
            make_optimizer(optimizer, epochs),
            seeds,
            params.clone(),
            checkpoint=checkpoint,
            progress=progress,
        )

    for fatal in (3, 3):
        with pytest.raises(KilledError):
            resume(KillAt(fatal))
    progress = KillAt(-1)
    resumed = resume(progress)
    assert progress.reported == [3, 4]
    assert_same(resumed, unbroken)


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_asked_to_stop_saves_and_can_go_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    objectives = make_objectives("fcp")
    seeds = [0, 3]
    unbroken = run(objectives, make_optimizer("lbfgs"), seeds)
    checkpoint = Checkpoint(tmp_path / "state.safetensors", "identity", interval=1e9)
    checkpoint.stop_on_signals()
    with pytest.raises(Interrupted, match=number.name):
        run(
            objectives,
            make_optimizer("lbfgs"),
            seeds,
            checkpoint=checkpoint,
            progress=SignalAt(2, number),
        )
    again = Checkpoint(tmp_path / "state.safetensors", "identity")
    progress = KillAt(-1)
    resumed = run(objectives, make_optimizer("lbfgs"), seeds, checkpoint=again, progress=progress)
    assert progress.reported == [3, 4]
    assert_same(resumed, unbroken)


@pytest.mark.parametrize("damage", ["other identity", "truncated", "flipped"])
def test_a_checkpoint_that_does_not_fit_is_not_resumed(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives = make_objectives("fcp")
    path = tmp_path / "state.safetensors"
    unbroken = run(objectives, make_optimizer("sgd"), [0])
    with pytest.raises(KilledError):
        run(
            objectives,
            make_optimizer("sgd"),
            [0],
            checkpoint=Checkpoint(path, "one", interval=0.0),
            progress=KillAt(3),
        )
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    if damage == "flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    identity = "another" if damage == "other identity" else "one"
    progress = KillAt(-1)
    afresh = run(
        objectives,
        make_optimizer("sgd"),
        [0],
        checkpoint=Checkpoint(path, identity),
        progress=progress,
    )
    assert progress.reported == [1, 2, 3, 4]
    assert_same(afresh, unbroken)
    assert "starting afresh" in capsys.readouterr().err


def test_files_of_a_training_tell_the_curves_and_their_minima_apart(tmp_path: Path) -> None:
    """Bit for bit, also the NaN rows of a failed seed, and in the order of the seeds."""
    weights = torch.arange(12, dtype=torch.float32).view(2, 2, 3) / 7
    weights[1] = math.nan
    curves = torch.tensor([[[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]], [[9.0, math.nan, math.nan]] * 2])
    training = Training([7, 0], 2, weights[:, 0], {}, curves.double(), weights, {0: "diverged"})
    names = ("weights", "history", "runs")
    files = {name: tmp_path / f"{name}.{'csv' if name != 'weights' else 'st'}" for name in names}
    write_results(SimpleNamespace(architecture="lstm", optimizer="sgd", **files), training)

    tensors = read_tensors(files["weights"])
    assert tensors["seeds"].tolist() == [7, 0]
    for curve, name in enumerate(("train_weights", "test_weights")):
        assert tensors[name].dtype == np.float32
        np.testing.assert_array_equal(tensors[name], weights[:, curve].numpy())
    history = read_table(files["history"]).set_index(["seed", "epoch"])
    assert history["train_loss"].tolist()[:4] == [3, 1, 2, 9]
    assert history["test_loss"].tolist()[:4] == [6, 5, 4, 9]
    assert history.index.tolist() == [(7, 0), (7, 1), (7, 2), (0, 0), (0, 1), (0, 2)]
    runs = read_table(files["runs"]).set_index("seed")
    assert runs.loc[7, ["train_epoch", "train_loss"]].tolist() == [1, 1.0]
    assert runs.loc[7, ["test_epoch", "test_loss"]].tolist() == [2, 4.0]
    assert runs["status"].tolist() == ["ok", "failed"]
    assert runs.loc[0, "reason"] == "diverged"


# Real data --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "optimizer", "settings", "images", "train_loss", "test_loss"),
    [
        ("fcp", "sgd", {"learning_rate": 0.1, "batch_size": 16, "epochs": 12}, 512, 0.35, 0.8),
        ("lenet", "lbfgs", {"iterations": 24}, 128, 0.5, 1.4),
        ("autoencoder", "lbfgs", {"iterations": 12}, 256, 0.066, 0.068),
        ("lstm", "lbfgs", {"iterations": 24}, 256, 0.7, 1.7),
    ],
)
def test_training_on_real_mnist_reaches_a_stated_loss(
    name: str,
    optimizer: str,
    settings: dict[str, float],
    images: int,
    train_loss: float,
    test_loss: float,
) -> None:
    """Far below the losses of guessing (2.30, and 0.23 for grey pictures), on test images too."""
    folder = data.mnist_folder()
    if folder is None:
        pytest.skip(
            "no MNIST files: set MNIST_SOURCE to the folder with train-images-idx3-ubyte.gz"
        )
    architecture = get_architecture(name)
    training = train(
        Objective(architecture, *data.mnist_slice(folder, "train", images)),
        Objective(architecture, *data.mnist_slice(folder, "t10k", 256)),
        get_optimizer(optimizer, **settings),
        [0],
        initial_params(architecture, [0]),
    )
    reached = training.best_losses[0].tolist()
    assert reached[0] < train_loss
    assert reached[1] < test_loss
