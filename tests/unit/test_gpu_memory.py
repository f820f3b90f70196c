"""Work on a GPU is cut to its memory: what can be seen of it without one."""

from types import SimpleNamespace

import pytest
import torch

import topography.objective
from support.pretend_gpu import objective_on_gpu, pretended_gpu, use_card
from topography import device
from topography.architectures import autoencoder, get_architecture
from topography.architectures.mlp import MultilayerPerceptron
from topography.jobs import common
from topography.objective import MOST_ACTIVATIONS, Objective
from topography.paths import path_losses_and_gradients
from topography.training import initial_params

IMAGES, POINTS = 60_000, 51


def elsewhere() -> Objective:
    """An objective whose images lie on a device that is not the CPU, and hold nothing."""
    images = torch.empty(IMAGES, 784, device="meta")
    return Objective(get_architecture("lstm"), images, images[:, 0].long())


@pytest.mark.parametrize(
    ("name", "gibibytes", "images"),
    [("fcp", 0.25, 300), ("autoencoder", 0.25, 300), ("lenet", 1, 24), ("lstm", 1, 60)],
)
def test_a_step_of_paths_takes_less_than_a_third_of_the_card(
    monkeypatch: pytest.MonkeyPatch, name: str, gibibytes: float, images: int
) -> None:
    """Whatever the number of pairs and images: what is too much at once is cut."""
    pairs = 3
    with pretended_gpu(monkeypatch, gibibytes) as gpu:
        objective = objective_on_gpu(name, images)
        assert len(objective.chunks(POINTS)) > 1
        ends = initial_params(objective.architecture, list(range(2 * pairs))).to("cuda").chunk(2)
        coefficients = ends[0].new_zeros(pairs, 10, ends[0].shape[1])
        before = gpu.peak_memory = gpu.memory
        path_losses_and_gradients(objective, *ends, coefficients, POINTS, penalty=1e-4)
    assert 1 / 16 < (gpu.peak_memory - before) / (gibibytes * 2**30) < 1 / 3


@pytest.mark.parametrize("gibibytes", [8, 24, 80])
def test_chunks_and_families_fill_a_sixteenth_of_the_card(
    monkeypatch: pytest.MonkeyPatch, gibibytes: int
) -> None:
    use_card(monkeypatch, gibibytes)
    objective = elsewhere()
    floats = objective.architecture.activation_floats * POINTS
    budget = gibibytes * 2**30 / 16 / 4
    chunk = objective._chunk_size(POINTS)
    assert budget / floats - 1 < chunk <= budget / floats
    families = objective.family_chunks(1000, POINTS, 100, projected=False)
    size = families[0].stop - families[0].start
    assert 0.5 * budget < size * floats * 100 <= budget


def test_a_share_of_a_card_is_a_smaller_card(monkeypatch: pytest.MonkeyPatch) -> None:
    use_card(monkeypatch, 12)
    expected = device.gpu_numbers()
    use_card(monkeypatch, 48, share=0.25)
    assert device.gpu_numbers() == expected


def test_a_job_is_held_to_its_share_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    use_card(monkeypatch, 8)
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(common, "set_up_processor", lambda _: None)
    for name in ("cuda", "cpu"):
        arguments = SimpleNamespace(device=name, gpu_memory=0.3, threads=1)
        assert common.set_up_device(arguments).type == name
    assert shares == [0.3]


def test_large_networks_get_through_an_image_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    use_card(monkeypatch, 1)
    assert elsewhere()._chunk_size(100_000) == 1


def test_a_chunk_on_the_cpu_is_bounded_too() -> None:
    """ResNet18, as docs/geometry.md has it, on the 51 points of a path."""
    resnet = get_architecture("resnet")
    objective = Objective(resnet, torch.zeros(4, resnet.image_size), torch.zeros(4).long())
    for points in (1, POINTS):
        size = objective._chunk_size(points)
        floats = resnet.activation_floats * points
        assert size * floats <= MOST_ACTIVATIONS < (size + 1) * floats


def test_minibatches_of_many_large_networks_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many networks and images at a time as a chunk may hold, and the same numbers as alone."""
    mlp = get_architecture("mlp", hidden=[8], inputs=20)
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(30, 20, generator=stream, dtype=torch.float64)
    objective = Objective(mlp, images, torch.arange(30) % 10)
    params = initial_params(mlp, list(range(5))).double()
    indices = torch.randint(30, (5, 12), generator=stream)
    expected = objective.minibatch_losses_and_gradients(params, indices)
    met: list[tuple[int, ...]] = []

    def loss_sums_and_gradients(
        params: torch.Tensor, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        met.append(images.shape[:2])
        return MultilayerPerceptron.loss_sums_and_gradients(mlp, params, images, labels)

    monkeypatch.setattr(mlp, "loss_sums_and_gradients", loss_sums_and_gradients)
    monkeypatch.setattr(topography.objective, "CPU_ACTIVATIONS", 2 * 12 * mlp.activation_floats)
    losses, gradients = objective.minibatch_losses_and_gradients(params, indices)
    assert met == [(2, 12), (2, 12), (1, 12)]
    torch.testing.assert_close(losses, expected[0])
    torch.testing.assert_close(gradients, expected[1])


def test_the_output_layer_of_the_autoencoder_fits_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a quarter of the budget of a chunk."""
    use_card(monkeypatch, 16)
    networks, images = autoencoder._at_a_time(1000, 1000, torch.device("cuda"))
    assert images == 1000
    quarter = 16 * 2**30 / 16 / 4 / 4
    assert 0.9 * quarter < networks * images * 784 <= quarter


def test_without_a_gpu_a_card_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.gpu_numbers() == device.ASSUMED_GPU_MEMORY // 64
