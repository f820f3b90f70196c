"""The hand-written kernels of LeNet and the LSTM: blocks, work space, extreme inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reference import data, networks
from topography.architectures import get_architecture, lenet, lstm
from topography.architectures.base import Architecture

MODULES = {"lenet": lenet, "lstm": lstm}
VARIANTS = [("lenet", "softplus"), ("lenet", "relu"), ("lstm", "softplus")]


def build(name: str, activation: str = "softplus") -> Architecture:
    return get_architecture(name, **({"activation": activation} if name == "lenet" else {}))


def vectors_for(name: str, count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Parameter vectors [count, P] of trained size."""
    scale = {"lenet": 0.1, "lstm": 0.3}[name]
    return data.random_vectors(count, networks.PARAMETER_COUNTS[name], scale, seed=5, dtype=dtype)


def images_for(
    networks_count: int, count: int, own: bool, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Images [count, D] shared by all networks, or own ones [networks, count, D]; labels."""
    images, labels = data.random_images(networks_count * count if own else count, dtype=dtype)
    if own:
        images, labels = images.unflatten(0, (-1, count)), labels.unflatten(0, (-1, count))
    return images, labels


def assert_equals_modules(
    name: str, activation: str, vectors: Tensor, images: Tensor, labels: Tensor
) -> None:
    """Losses and gradients are those of one ordinary PyTorch module at a time."""
    architecture = build(name, activation)
    losses = architecture.loss_sums(vectors, images, labels)
    losses_too, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    assert torch.equal(losses, losses_too)
    images, labels = images.expand(len(vectors), -1, -1), labels.expand(len(vectors), -1)
    count = images.shape[1]
    for row, vector in enumerate(vectors):
        loss, gradient = networks.loss_and_gradient(
            name, vector, images[row], labels[row], activation
        )
        assert losses[row].item() == pytest.approx(count * loss, rel=1e-10)
        error = (gradients[row] - count * gradient).abs().max()
        assert error < 1e-10 * count * gradient.abs().max()


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("count", [1, 3], ids=["one network", "three networks"])
@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_sums_over_several_blocks_of_images_equal_the_modules(
    name: str, activation: str, count: int, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of 4, 4 and 2 images: the work space is used again, and replaced for the rest."""
    monkeypatch.setattr(MODULES[name], "CPU_IMAGES", 4)
    images, labels = images_for(count, 10, own)
    assert_equals_modules(name, activation, vectors_for(name, count), images, labels)


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_windows_that_see_blank_pixels_only_are_skipped_by_lenet(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of three images: of other margins, with one image of nothing, of nothing else."""
    monkeypatch.setattr(lenet, "CPU_IMAGES", 3)
    images, labels = images_for(3, 10, own=False)
    pictures = images.view(-1, 28, 28)
    boxes = [(6, 20, 9, 28), (8, 22, 11, 12), (0, 28, 27, 28), (14, 15, 0, 1), (4, 24, 4, 24)]
    for number, picture in enumerate(pictures):
        top, bottom, left, right = boxes[number // 2]
        inside = picture[top:bottom, left:right].clone()
        picture.zero_()[top:bottom, left:right] = inside
    images[5:9] = 0.0
    met = []

    def windows_seen(block: Tensor) -> lenet._Seen:
        met.append(of_block(block))
        return met[-1]

    of_block = lenet._windows_seen
    monkeypatch.setattr(lenet, "_windows_seen", windows_seen)
    assert_equals_modules("lenet", activation, vectors_for("lenet", 3), images, labels)
    assert len({str(seen) for seen in met}) == 4 and lenet._WHOLE_MAP not in met


@pytest.mark.parametrize("first", range(28))
def test_windows_that_see_ink(first: int) -> None:
    """Windows see an image through six columns each, two apart, and two beyond its edge."""
    for last in range(first, 28):
        ink = torch.zeros(28, dtype=torch.bool)
        ink[[first, last]] = True
        columns = torch.nn.functional.pad(ink, (2, 2)).unfold(0, 6, 2).any(1)
        seeing = columns.nonzero().flatten()
        windows = lenet._windows_over(ink)
        assert (windows.start, windows.stop - 1) == (seeing[0], seeing[-1])


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize(("name", "count"), [("lenet", 12), ("lenet", 30), ("lstm", 12)])
def test_all_networks_at_once_as_on_a_gpu(
    name: str, count: int, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More networks than rows of pixels (10, 14, 28) makes products over networks, row by row."""
    monkeypatch.setattr(MODULES[name], "_at_a_time", lambda params, images: (len(params), images))
    images, labels = images_for(count, 2, own)
    assert_equals_modules(name, "softplus", vectors_for(name, count), images, labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_the_lstm_by_torch_equals_ours(
    own: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of 4, 4 and 2 images; and bit for bit the same whatever the batch-mates."""
    monkeypatch.setattr(lstm, "TORCH_IMAGES", 4)
    architecture, vectors = lstm.ARCHITECTURE(), vectors_for("lstm", 3, dtype)
    images, labels = images_for(3, 10, own, dtype)
    exact_gradients = torch.zeros_like(vectors, dtype=torch.float64)
    exact = architecture.batched_sums(vectors.double(), images.double(), labels, exact_gradients)
    gradients = torch.zeros_like(vectors)
    losses = architecture.sums_by_torch(vectors, images, labels, gradients)
    losses_only = architecture.sums_by_torch(vectors, images, labels, None)
    double = dtype == torch.float64
    assert torch.allclose(losses, exact, rtol=1e-12 if double else 1e-6, atol=0)
    assert torch.allclose(losses_only, exact, rtol=1e-12 if double else 1e-6, atol=0)
    errors = (gradients - exact_gradients).norm(dim=1) / exact_gradients.norm(dim=1)
    # So large are the weights here that in float32 either kernel errs by up to 3e-6.
    assert errors.max() < (1e-12 if double else 5e-6)
    for row in range(3):
        one = slice(row, row + 1)
        alone = (images[one], labels[one]) if own else (images, labels)
        own_gradients = torch.zeros_like(vectors[one])
        own_losses = architecture.sums_by_torch(vectors[one], *alone, own_gradients)
        assert torch.equal(own_losses, losses[one])
        assert torch.equal(own_gradients, gradients[one])
        own_losses = architecture.sums_by_torch(vectors[one], *alone, None)
        assert torch.equal(own_losses, losses_only[one])


@pytest.fixture(params=[True, False], ids=["kernel of this machine", "our kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The LSTM as computed here, and as where torch's kernel is not taken."""
    if not request.param:
        monkeypatch.setattr(lstm, "_suits_torch", lambda _: False)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("images_count", "own"), [(64, True), (37, False)])
@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_results_do_not_depend_on_the_batch_mates(
    name: str, activation: str, images_count: int, own: bool, dtype: torch.dtype
) -> None:
    """Bit for bit, whatever the number of networks and the place among them."""
    architecture = build(name, activation)
    vectors = vectors_for(name, 5, dtype)
    images, labels = images_for(5, images_count, own, dtype)
    images.unflatten(-1, (28, 28))[..., :9, :] = 0.0  # of which LeNet skips some
    losses, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    losses_only = architecture.loss_sums(vectors, images, labels)  # may round differently
    for rows in (slice(0, 1), slice(3, 4), slice(2, 5)):
        alone = (images[rows], labels[rows]) if own else (images, labels)
        some_losses, some_gradients = architecture.loss_sums_and_gradients(vectors[rows], *alone)
        assert torch.equal(some_losses, losses[rows])
        assert torch.equal(some_gradients, gradients[rows])
        assert torch.equal(architecture.loss_sums(vectors[rows], *alone), losses_only[rows])


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_float32_errs_by_little_more_than_its_rounding(name: str, activation: str) -> None:
    """Nothing is lost to cancellation: seven digits hold 1e-7, over a thousand sums 1e-6."""
    architecture = build(name, activation)
    vectors, (images, labels) = vectors_for(name, 2), images_for(2, 32, own=False)
    losses, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    rough_losses, rough_gradients = architecture.loss_sums_and_gradients(
        vectors.float(), images.float(), labels
    )
    assert torch.allclose(rough_losses, losses, rtol=1e-6, atol=0)
    rough_losses = architecture.loss_sums(vectors.float(), images.float(), labels)
    assert torch.allclose(rough_losses, losses, rtol=1e-6, atol=0)
    errors = (rough_gradients - gradients).norm(dim=1) / gradients.norm(dim=1)
    assert errors.max() < 1e-6


def softplus_sums(
    inputs: Tensor, windows_again: Callable[[], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Sums over windows [1, 1, 2, 2, n] of softplus, [1, 1, n], and its slopes, as LeNet has
    them."""
    windows, half, pooled = (
        -inputs,
        torch.empty_like(inputs[:, :, 0]),
        torch.empty_like(inputs[:, :, 0, 0]),
    )
    lenet._softplus_sums(windows, half, pooled, windows_again or (lambda: -inputs))
    lenet._spread_softplus(torch.ones_like(pooled)[:, :, None, None], windows)
    return -pooled, windows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_windows_too_large_for_a_product_of_logistic_functions(dtype: torch.dtype) -> None:
    """Softplus summed over windows where exp overflows, is 1 to rounding, and in between."""
    generator = torch.Generator().manual_seed(3)
    inputs = 300.0 * torch.randn(1, 1, 2, 2, 1000, generator=generator, dtype=dtype)
    inputs[..., ::2] /= 100.0  # windows of ordinary numbers beside those of huge ones
    sums, slopes = softplus_sums(inputs)
    expected = torch.nn.functional.softplus(inputs.double()).sum((2, 3))
    assert torch.allclose(sums.double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.allclose(slopes.double(), inputs.double().sigmoid(), rtol=0, atol=1e-6)


def test_a_network_with_huge_maps_leaves_the_others_alone() -> None:
    """The detour for large numbers is of some places: it must change nothing at the others."""
    inputs = torch.randn(1, 1, 2, 2, 1000, generator=torch.Generator().manual_seed(4))
    inputs[..., 1] = 60.0  # too large for exp of the sum, not for exp alone
    inputs[..., 2] = 20.0  # large, and yet the ordinary way
    alone, _ = softplus_sums(inputs[..., 2:])
    inputs[0, 0, 0, 0, 0] = 1e4
    together, _ = softplus_sums(inputs)
    assert together[..., 0].item() == pytest.approx(1e4, rel=1e-3)
    assert together[..., 1].item() == pytest.approx(240.0)
    assert torch.equal(together[..., 2:], alone)


def test_windows_of_trained_networks_are_not_computed_again() -> None:
    """Each pixel below 87, some windows far above: the rule in trained ones."""
    inputs = 18.0 * torch.randn(1, 1, 2, 2, 1000, generator=torch.Generator().manual_seed(5))
    expected = torch.nn.functional.softplus(inputs.double()).sum((2, 3))
    assert inputs.max() < 87 and 0 < (expected > 87).sum() < 50
    sums, _ = softplus_sums(inputs, windows_again=lambda: pytest.fail("computed again"))
    assert torch.allclose(sums.double(), expected, rtol=1e-6, atol=1e-6)


def test_sums_as_on_a_gpu_are_those_on_a_cpu() -> None:
    inputs = 60.0 * torch.randn(1, 1, 2, 2, 1000, generator=torch.Generator().manual_seed(6))
    sums, slopes = softplus_sums(inputs)
    windows, pooled = -inputs, torch.empty_like(sums)
    lenet._softplus_sums_of_each(windows, pooled)
    lenet._spread_softplus(torch.ones_like(pooled)[:, :, None, None], windows)
    assert torch.allclose(-pooled, sums, rtol=1e-6, atol=1e-6)
    assert torch.equal(windows, slopes)


def test_huge_maps_give_the_losses_of_the_modules() -> None:
    """Inputs of activations up to a thousand and more: finite losses and gradients, right ones."""
    vectors, (images, labels) = 10.0 * vectors_for("lenet", 2), images_for(2, 6, own=False)
    assert_equals_modules("lenet", "softplus", vectors, images, labels)
    losses, gradients = build("lenet").loss_sums_and_gradients(
        vectors.float(), images.float(), labels
    )
    assert torch.allclose(losses, build("lenet").loss_sums(vectors, images, labels), rtol=1e-4)
    assert gradients.isfinite().all()


def test_the_declared_activations_are_those_of_the_work_space() -> None:
    """`activation_floats` is what each further image takes, as the memory budget assumes."""
    like = torch.empty(0)

    def of_lenet(images: int) -> object:
        return lenet._Workspace(
            lenet._Memory(like), 1, images, lenet._WHOLE_MAP, shared=False, gradients=True
        )

    for architecture, one, two in (
        (build("lenet"), of_lenet(1), of_lenet(2)),
        (build("lstm"), lstm._Workspace(1, 1, True, like), lstm._Workspace(1, 2, True, like)),
    ):
        per_image = floats_held(two) - floats_held(one)
        assert per_image <= architecture.activation_floats <= 1.2 * per_image


def floats_held(workspace: object) -> int:
    """Numbers in the distinct tensors that an object's attributes are views of."""
    storages = {}
    pending = list(vars(workspace).values())
    while pending:
        item = pending.pop()
        if isinstance(item, Tensor):
            storage = item.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes() // item.element_size()
        elif isinstance(item, tuple | list):
            pending.extend(item)
        elif hasattr(item, "__dict__"):
            pending.extend(vars(item).values())
    return sum(storages.values())
