"""Mean losses over images, in chunks, for batches of networks and for their linear combinations."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from reference import data, networks
from support.comparison import relative_error
from topography import objective as objective_module
from topography.architectures import autoencoder, base, get_architecture, lenet, lstm
from topography.landscape import FunctionLandscape
from topography.objective import Objective

NAMES = ["fcp", "lenet", "autoencoder", "lstm"]
VARIANTS = [
    ("fcp", {}),
    ("fcp", {"activation": "relu"}),
    ("lenet", {}),
    ("lenet", {"activation": "relu"}),
    ("autoencoder", {}),
    ("autoencoder", {"activation": "relu"}),
    ("lstm", {}),
]
IMAGES = 23


def make_objective(
    name: str, settings: dict[str, str] | None = None, dtype: torch.dtype = torch.float64
) -> Objective:
    """Return the objective of random images for one architecture."""
    images, labels = data.random_images(IMAGES, seed=3, dtype=dtype)
    return Objective(get_architecture(name, **(settings or {})), images, labels)


def vectors_for(name: str, *counts: int) -> Tensor:
    """Return parameter vectors [*counts, P] of trained size."""
    scale = 0.3 if name == "lstm" else 0.1
    length = networks.PARAMETER_COUNTS[name]
    vectors = data.random_vectors(torch.Size(counts).numel(), length, scale, seed=11)
    return vectors.view(*counts, length)


def expected(
    name: str, settings: dict[str, str], vectors: Tensor, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return losses [B] and gradients [B, P] from ordinary modules, one vector at a time."""
    activation = settings.get("activation", "softplus")
    pairs = [
        networks.loss_and_gradient(name, vector, images, labels, activation) for vector in vectors
    ]
    losses = torch.tensor([loss for loss, _ in pairs], dtype=torch.float64)
    return losses, torch.stack([g for _, g in pairs])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the work into chunks of a few images, so that sums run over several uneven chunks."""
    monkeypatch.setattr(objective_module, "CPU_CHUNK_RANGE", (5, 5))
    monkeypatch.setattr(base, "CPU_HEAD_ACTIVATIONS", 5000)  # of three networks
    for module in (lenet, lstm):  # which cut the images themselves
        monkeypatch.setattr(module, "CPU_IMAGES", 5)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_losses_and_gradients_equal_one_network_at_a_time(
    name: str, settings: dict[str, str]
) -> None:
    objective = make_objective(name, settings)
    vectors = vectors_for(name, 3)
    exact, exact_gradients = expected(name, settings, vectors, objective.images, objective.labels)
    losses = objective.losses(vectors)
    losses_again, gradients = objective.losses_and_gradients(vectors)
    assert losses.dtype == losses_again.dtype == torch.float64
    assert relative_error(losses, exact) < 1e-10
    assert relative_error(losses_again, exact) < 1e-10
    for row in range(3):
        assert relative_error(gradients[row], exact_gradients[row]) < 1e-10


@pytest.mark.parametrize("activation", ["softplus", "relu"])
@pytest.mark.parametrize("at_a_time", [(1, 16), (2, IMAGES)], ids=["as on a CPU", "as on a GPU"])
def test_the_output_layer_of_the_autoencoder_in_parts_equals_the_modules(
    activation: str, at_a_time: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of 16 and 7 images, and of two networks and one."""
    monkeypatch.setattr(autoencoder, "_at_a_time", lambda *_: at_a_time)
    settings = {"activation": activation}
    objective, vectors = make_objective("autoencoder", settings), vectors_for("autoencoder", 3)
    images, labels = objective.images, objective.labels
    exact, exact_gradients = expected("autoencoder", settings, vectors, images, labels)
    losses, gradients = objective.losses_and_gradients(vectors)
    assert relative_error(objective.losses(vectors), exact) < 1e-10
    assert relative_error(losses, exact) < 1e-10
    for row in range(3):
        assert relative_error(gradients[row], exact_gradients[row]) < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_finite_differences(name: str) -> None:
    objective = make_objective(name)
    vectors = vectors_for(name, 2)
    directions = data.random_vectors(2, vectors.shape[1], 1.0, seed=5)
    _, gradients = objective.losses_and_gradients(vectors)
    step = 1e-5
    ahead = objective.losses(vectors + step * directions)
    behind = objective.losses(vectors - step * directions)
    slopes = (gradients * directions).sum(1)
    # Central difference: truncation and rounding are both near 1e-9 here.
    assert relative_error((ahead - behind) / (2 * step), slopes) < 1e-6


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_minibatches_belong_to_their_networks(name: str, settings: dict[str, str]) -> None:
    objective = make_objective(name, settings)
    vectors = vectors_for(name, 3)
    indices = torch.tensor([[0, 5, 5, 22], [9, 8, 7, 6], [1, 2, 3, 0]])
    losses, gradients = objective.minibatch_losses_and_gradients(vectors, indices)
    for row, images in enumerate(indices):
        exact, exact_gradients = expected(
            name,
            settings,
            vectors[row : row + 1],
            objective.images[images],
            objective.labels[images],
        )
        assert losses[row].item() == pytest.approx(exact.item(), rel=1e-10)
        assert relative_error(gradients[row], exact_gradients[0]) < 1e-10


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_combinations_equal_direct_evaluation(
    name: str, settings: dict[str, str], reuse: bool
) -> None:
    objective = make_objective(name, settings)
    vectors = vectors_for(name, 2, 3)
    mixing = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(2)).double()
    points = mixing @ vectors
    exact, exact_gradients = expected(
        name, settings, points.flatten(0, 1), objective.images, objective.labels
    )
    exact = exact.view(2, 4)
    exact_gradients = mixing.mT @ exact_gradients.view(2, 4, -1)

    combination = objective.combination(vectors, reuse=reuse)
    assert relative_error(combination.losses(mixing), exact) < 1e-10
    for fixed in (0, 2):
        losses, gradients = combination.losses_and_gradients(mixing, fixed=fixed)
        assert relative_error(losses, exact) < 1e-10
        assert gradients.shape[1] == 3 - fixed
        for family in range(2):
            assert relative_error(gradients[family], exact_gradients[family, fixed:]) < 1e-10


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_combinations_of_some_families_with_further_vectors(name: str, reuse: bool) -> None:
    objective = make_objective(name)
    vectors = vectors_for(name, 3, 3)
    combination = objective.combination(vectors[:, :2], reuse=reuse).extended(vectors[:, 2:])
    mixing = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(2)).double()
    exact = objective.losses((mixing @ vectors).flatten(0, 1)).view(3, 4)
    for rows in ([0, 1, 2], [1, 2], [2, 0], [1]):
        selected = combination.losses(mixing[rows], torch.tensor(rows))
        assert relative_error(selected, exact[rows]) < 1e-10
    shared = combination.losses(mixing[0])
    exact_shared = objective.losses((mixing[0] @ vectors).flatten(0, 1)).view(3, 4)
    assert relative_error(shared, exact_shared) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_losses_do_not_depend_on_batch_mates(name: str, dtype: torch.dtype) -> None:
    """Bit for bit, on one thread of a CPU."""
    objective = make_objective(name, dtype=dtype)
    vectors = vectors_for(name, 3).to(dtype)
    losses, gradients = objective.losses_and_gradients(vectors)
    for row in range(3):
        alone = slice(row, row + 1)
        loss, gradient = objective.losses_and_gradients(vectors[alone])
        assert torch.equal(loss, losses[alone])
        assert torch.equal(gradient, gradients[alone])
        assert torch.equal(objective.losses(vectors[alone]), objective.losses(vectors)[alone])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("images", [1, 3, 16])
@pytest.mark.parametrize("name", NAMES)
def test_minibatches_do_not_depend_on_batch_mates(
    name: str, images: int, dtype: torch.dtype
) -> None:
    """Bit for bit, except for minibatches of one image: these are other kinds of product."""
    objective = make_objective(name, dtype=dtype)
    vectors = vectors_for(name, 3).to(dtype)
    indices = torch.arange(images) + torch.tensor([[0], [3], [7]])
    losses, gradients = objective.minibatch_losses_and_gradients(vectors, indices)
    rounding = 1e-5 if dtype == torch.float32 else 1e-13
    for row in range(3):
        alone = slice(row, row + 1)
        loss, gradient = objective.minibatch_losses_and_gradients(vectors[alone], indices[alone])
        assert relative_error(loss, losses[alone]) < rounding
        assert relative_error(gradient, gradients[alone]) < rounding
        if images > 1:
            assert torch.equal(loss, losses[alone])
            assert torch.equal(gradient, gradients[alone])


def test_subset_is_the_objective_of_those_images() -> None:
    objective = make_objective("fcp")
    vectors = vectors_for("fcp", 2)
    rows = torch.tensor([20, 3, 4])
    exact, _ = expected("fcp", {}, vectors, objective.images[rows], objective.labels[rows])
    assert relative_error(objective.subset(rows).losses(vectors), exact) < 1e-10
    assert objective.subset(rows).count == 3


def test_images_and_labels_must_match() -> None:
    images, labels = data.random_images(4)
    with pytest.raises(ValueError, match="3 labels for 4 images"):
        Objective(get_architecture("fcp"), images, labels[:3])
    with pytest.raises(ValueError, match="0 images"):
        Objective(get_architecture("fcp"), images[:0], labels[:0])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ((4, 28, 28), torch.int64, r"images.flatten\(1\) makes that"),
        (torch.uint8, torch.int64, r"torch.uint8, expected pixels in \[0, 1\]"),
        (torch.float32, torch.uint8, r"labels.long\(\) makes that"),
    ],
)
def test_images_and_labels_as_datasets_hold_them_are_refused_with_the_remedy(
    images: tuple[int, ...] | torch.dtype, labels: torch.dtype, message: str
) -> None:
    shape = images if isinstance(images, tuple) else (4, 784)
    dtype = images if isinstance(images, torch.dtype) else torch.float32
    with pytest.raises(ValueError, match=message):
        Objective(
            get_architecture("fcp"), torch.zeros(shape, dtype=dtype), torch.zeros(4, dtype=labels)
        )


@pytest.mark.parametrize(
    ("name", "settings", "tokens", "labels", "message"),
    [
        ("fcp", {}, None, torch.zeros(4, 1, dtype=torch.int64), r"\[4, 1\], expected \[4\]"),
        ("transformer", {"tokens": 9}, torch.zeros(4, 7), torch.zeros(4, 7, dtype=torch.int64),
         "tokens are torch.float32, expected int64"),
        ("transformer", {"tokens": 9}, torch.zeros(4, 7, dtype=torch.int64),
         torch.zeros(4, dtype=torch.int64), r"\[4\], expected \[4, 7\]"),
    ],
)  # fmt: skip
def test_labels_of_another_shape_and_tokens_of_another_type_are_refused(
    name: str, settings: dict, tokens: Tensor | None, labels: Tensor, message: str
) -> None:
    images = torch.rand(4, 784) if tokens is None else tokens
    with pytest.raises(ValueError, match=message):
        Objective(get_architecture(name, **settings), images, labels)


@pytest.mark.parametrize("shape", [(42_200,), (2, 42_199), (1, 2, 42_200)])
def test_vectors_that_are_no_networks_of_the_architecture_are_refused(shape: tuple) -> None:
    objective, vectors = make_objective("fcp"), torch.zeros(shape, dtype=torch.float64)
    for method in (objective.losses, objective.losses_and_gradients):
        with pytest.raises(ValueError, match=r"expected \[B, P\] with P = 42200, .* of fcp"):
            method(vectors)
    with pytest.raises(ValueError, match=r"expected \[B, P\]"):
        objective.minibatch_losses_and_gradients(vectors, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"expected \[B, K, P\]"):
        objective.combination(vectors[..., 1:])


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_images_must_be_of_one_type(name: str) -> None:
    objective = make_objective(name)
    with pytest.raises(ValueError, match=r"weights are torch\.float32, images torch\.float64"):
        objective.losses(vectors_for(name, 2).float())


@pytest.mark.parametrize("name", NAMES)
def test_no_networks_have_no_losses(name: str) -> None:
    assert make_objective(name).losses(vectors_for(name, 2)[:0]).shape == (0,)


def test_a_minibatch_too_large_for_a_chunk_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    architecture = get_architecture("mlp", hidden=[5])

    class Watched(type(architecture)):
        def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
            seen.append(images.shape[-2])
            return super().image_losses(params, images, labels)

    architecture.__class__ = Watched
    objective = Objective(architecture, *data.random_images(23, seed=3))
    params = torch.stack([architecture.initialise(torch.Generator().manual_seed(4))] * 2).double()
    indices = torch.arange(22).view(2, 11)
    whole = objective.minibatch_losses_and_gradients(params, indices)
    monkeypatch.setattr("topography.objective.CPU_CHUNK_RANGE", (4, 4))
    cut = objective.minibatch_losses_and_gradients(params, indices)
    assert seen == [11, 4, 4, 3]
    for ours, expected in zip(cut, whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-15)


def test_the_declared_activations_of_a_transformer_hold_at_every_length() -> None:
    """Numbers kept for the backward pass, by the storages that autograd saves."""
    architecture = get_architecture("transformer", tokens=20, features=16, hidden=24, layers=3)
    params = architecture.initialise(torch.Generator().manual_seed(0))[None].requires_grad_()

    def saved(texts: int, length: int) -> int:
        storages: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        tokens = torch.zeros(texts, length, dtype=torch.int64)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            architecture.image_losses(params, tokens, tokens)
        floats = [tensor for tensor in storages.values() if tensor.is_floating_point()]
        return sum(tensor.untyped_storage().nbytes() // 4 for tensor in floats)

    for length in (8, 64, 256):
        per_text = (saved(6, length) - saved(2, length)) / 4
        assert per_text <= architecture.floats_per_image(length) <= 2.5 * per_text


@pytest.mark.parametrize("size", [783, 3072])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in NAMES),
        ("mlp", {"inputs": 785}),
        ("resnet", {"channels": [8], "blocks": [1], "image": [1, 28, 28]}),
    ],
)
def test_images_of_another_size_than_a_network_reads_are_refused(
    name: str, settings: dict, size: int
) -> None:
    """Above all by the LSTM, which picks pixels by their numbers and would leave out the others."""
    images, labels = torch.rand(3, size), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"{name} reads images of .* numbers, these have {size}"):
        Objective(get_architecture(name, **settings), images, labels)


def test_networks_can_be_set_to_colour_images() -> None:
    images, labels = torch.rand(3, 3072), torch.zeros(3, dtype=torch.int64)
    for name, settings in (
        ("mlp", {"inputs": 3072, "hidden": [4]}),
        ("resnet", {"channels": [8], "blocks": [1], "image": [3, 32, 32]}),
    ):
        architecture = get_architecture(name, **settings)
        params = torch.zeros(1, architecture.parameter_count)
        losses = Objective(architecture, images, labels).losses(params)
        torch.testing.assert_close(losses, torch.full((1,), 10.0, dtype=torch.float64).log())


def test_any_differentiable_function_is_a_landscape() -> None:
    landscape = FunctionLandscape(lambda points: points.square().sum(1) * points[:, 0])
    points = data.random_vectors(4, 3, 1.0)
    losses, gradients = landscape.losses_and_gradients(points)
    square = points.square().sum(1)
    exact = 2 * points * points[:, :1]
    exact[:, 0] += square
    assert torch.allclose(losses, square * points[:, 0], rtol=1e-12)
    assert torch.allclose(landscape.losses(points), losses, rtol=1e-12)
    assert torch.allclose(gradients, exact, rtol=1e-12)

    vectors = data.random_vectors(6, 3, 1.0, seed=1).view(2, 3, 3)
    mixing = data.random_vectors(10, 3, 1.0, seed=2).view(2, 5, 3)
    points = mixing @ vectors
    _, point_gradients = landscape.losses_and_gradients(points.flatten(0, 1))
    losses, gradients = landscape.combination(vectors).losses_and_gradients(mixing)
    assert torch.allclose(losses.flatten(), landscape.losses(points.flatten(0, 1)), rtol=1e-12)
    assert torch.allclose(gradients, mixing.mT @ point_gradients.view(2, 5, 3), rtol=1e-12)
    _, of_the_last = landscape.combination(vectors).losses_and_gradients(mixing, fixed=2)
    assert torch.allclose(of_the_last, gradients[:, 2:], rtol=1e-12)


def test_families_share_calls_on_a_cpu_once_they_are_projected() -> None:
    objective = make_objective("fcp")
    many, floats = 1000, objective.architecture.activation_floats * objective.count
    take_turns = objective.family_chunks(many, 1, objective.count, projected=False)
    assert take_turns == [slice(row, row + 1) for row in range(many)]
    together = objective.family_chunks(many, 1, objective.count, projected=True)
    assert [part.start for part in together[1:]] == [part.stop for part in together[:-1]]
    assert together[0].start == 0
    assert together[-1].stop >= many
    for part in together:
        largest = (part.stop - part.start) * floats
        assert objective_module.CPU_ACTIVATIONS / 2 < largest <= objective_module.CPU_ACTIVATIONS


def test_images_come_in_an_order_in_which_one_margin_changes_at_a_time() -> None:
    boxes = [tuple(box) for box in itertools.product((0, 1), repeat=4)]  # the margins of each
    images = torch.zeros(len(boxes), 28, 28)
    for image, (top, left, right, bottom) in zip(images, boxes, strict=True):
        image[top : 28 - bottom, left : 28 - right] = 1.0
    shuffled = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(boxes))[shuffled]
    (chunk,) = Objective(get_architecture("fcp"), images[shuffled].flatten(1), labels).chunks(1)
    assert sorted(chunk.labels.tolist()) == labels.sort().values.tolist()
    assert torch.equal(chunk.images, images[chunk.labels].flatten(1))
    in_order = [boxes[label] for label in chunk.labels.tolist()]
    for box, following in itertools.pairwise(in_order):
        assert sum(one != other for one, other in zip(box, following, strict=True)) == 1


@pytest.mark.usefixtures("small_chunks")
def test_images_that_are_not_square_are_sorted_as_rows() -> None:
    images, labels = data.random_images(IMAGES, seed=3)
    wide = images[:, :770].clone()  # 27.7 squared
    for number, image in enumerate(wide):
        image[: 50 * (number % 7)] = 0.0
    chunks = Objective(get_architecture("mlp", inputs=770), wide, labels).chunks(1)
    margins = torch.cat([chunk.images for chunk in chunks]).ne(0).to(torch.uint8).argmax(1)
    assert torch.equal(margins, margins.sort().values)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["fcp", "autoencoder"])
def test_pixels_that_are_zero_in_a_chunk_change_nothing(name: str) -> None:
    """Rows of zeros above and below, of different heights: every chunk leaves out its own."""
    objective = make_objective(name)
    for number, image in enumerate(objective.images):
        image[: 28 * (number % 9)] = 0.0
        image[784 - 14 * (number % 5) :] = 0.0
    objective.images[7] = 0.0  # an image of nothing at all
    vectors = vectors_for(name, 2)
    exact, exact_gradients = expected(name, {}, vectors, objective.images, objective.labels)
    losses, gradients = objective.losses_and_gradients(vectors)
    assert any(len(chunk.pixels) < 784 for chunk in objective.chunks(1))
    assert relative_error(losses, exact) < 1e-10
    assert relative_error(gradients, exact_gradients) < 1e-10
    assert relative_error(objective.losses(vectors), exact) < 1e-10
