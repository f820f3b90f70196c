"""Architectures: layout, initialisation, and batched losses against ordinary PyTorch modules."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reference import data, networks
from support.comparison import relative_error
from topography.architectures import get_architecture
from topography.architectures.base import (
    VECTOR,
    Chunk,
    get_activation,
    has_ink,
    logistic,
    times_slope,
)
from topography.errors import TopographyError
from topography.randomness import generator

NAMES = ["fcp", "lenet", "autoencoder", "lstm"]
VARIANTS = [
    ("fcp", "softplus"),
    ("fcp", "relu"),
    ("lenet", "softplus"),
    ("lenet", "relu"),
    ("autoencoder", "softplus"),
    ("autoencoder", "relu"),
    ("lstm", "softplus"),
]


def settings_of(name: str, activation: str) -> dict[str, str]:
    """Settings for `get_architecture`: the lstm has no choice of activation."""
    return {} if name == "lstm" else {"activation": activation}


def vectors_for(name: str, count: int) -> Tensor:
    """Parameter vectors [count, P] of trained size, with different values for every network."""
    scale = 0.3 if name == "lstm" else 0.1
    return data.random_vectors(count, networks.PARAMETER_COUNTS[name], scale, seed=7)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_laid_out_as_in_pytorch(name: str) -> None:
    architecture = get_architecture(name)
    network = networks.build_network(name)
    assert architecture.name == name
    assert architecture.parameter_count == networks.PARAMETER_COUNTS[name]
    shapes = [tuple(parameter.shape) for parameter in network.parameters()]
    assert list(architecture.parameter_shapes.values()) == shapes


@pytest.mark.parametrize("name", NAMES)
def test_initialisation_is_distributed_as_pytorch_does_it(name: str) -> None:
    """Each block has the mean, spread and bounds of the block of a fresh module, over 100 seeds."""
    architecture = get_architecture(name)
    ours = torch.stack([architecture.initialise(generator(seed, "test")) for seed in range(100)])
    theirs = torch.stack([networks.initial_vector(name, seed) for seed in range(100)])
    sizes = [math.prod(shape) for shape in architecture.parameter_shapes.values()]
    blocks = zip(ours.split(sizes, dim=1), theirs.split(sizes, dim=1), strict=True)
    for our_block, their_block in blocks:
        samples = our_block.numel()
        # A uniform variable on (-b, b): sd b / sqrt 3; five standard errors of each statistic.
        spread = their_block.std().item()
        assert our_block.std().item() == pytest.approx(spread, rel=5 / math.sqrt(samples))
        assert abs(our_block.mean().item()) < 5 * spread / math.sqrt(samples)
        bound = math.sqrt(3) * spread
        assert our_block.abs().max().item() == pytest.approx(bound, rel=10 / math.sqrt(samples))


@pytest.mark.parametrize("name", NAMES)
def test_seed_zero_is_a_seed_and_seeds_are_reproducible(name: str) -> None:
    architecture = get_architecture(name)
    first = architecture.initialise(generator(0, "initialisation"))
    again = architecture.initialise(generator(0, "initialisation"))
    other = architecture.initialise(generator(1, "initialisation"))
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_losses_and_gradients_equal_one_module_at_a_time(name: str, activation: str) -> None:
    architecture = get_architecture(name, **settings_of(name, activation))
    images, labels = data.random_images(17)
    vectors = vectors_for(name, 3)
    losses = architecture.loss_sums(vectors, images, labels)
    losses_again, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    assert losses.dtype == losses_again.dtype == torch.float64
    for row, vector in enumerate(vectors):
        loss, gradient = networks.loss_and_gradient(name, vector, images, labels, activation)
        assert losses[row].item() == pytest.approx(17 * loss, rel=1e-10)
        assert losses_again[row].item() == pytest.approx(17 * loss, rel=1e-10)
        assert relative_error(gradients[row], 17 * gradient) < 1e-10


@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_each_network_can_have_images_of_its_own(name: str, activation: str) -> None:
    architecture = get_architecture(name, **settings_of(name, activation))
    images, labels = data.random_images(3 * 8)
    images, labels = images.view(3, 8, 784), labels.view(3, 8)
    vectors = vectors_for(name, 3)
    losses, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    assert torch.allclose(architecture.loss_sums(vectors, images, labels), losses, rtol=1e-12)
    for row, vector in enumerate(vectors):
        loss, gradient = networks.loss_and_gradient(
            name, vector, images[row], labels[row], activation
        )
        assert losses[row].item() == pytest.approx(8 * loss, rel=1e-10)
        assert relative_error(gradients[row], 8 * gradient) < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_left_as_they_were(name: str) -> None:
    """The hand-written backward passes work in place: on their own buffers only."""
    architecture = get_architecture(name)
    images, labels = data.random_images(9)
    vectors = vectors_for(name, 2)
    copies = images.clone(), labels.clone(), vectors.clone()
    architecture.loss_sums(vectors, images, labels)
    architecture.loss_sums_and_gradients(vectors, images, labels)
    assert torch.equal(images, copies[0])
    assert torch.equal(labels, copies[1])
    assert torch.equal(vectors, copies[2])


@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_float32_agrees_with_float64(name: str, activation: str) -> None:
    architecture = get_architecture(name, **settings_of(name, activation))
    images, labels = data.random_images(17)
    vectors = vectors_for(name, 2)
    exact, exact_gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    losses, gradients = architecture.loss_sums_and_gradients(
        vectors.float(), images.float(), labels
    )
    assert losses.dtype == torch.float64
    assert gradients.dtype == torch.float32
    assert relative_error(losses, exact) < 1e-5
    assert relative_error(gradients.double(), exact_gradients) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "activation"), VARIANTS)
def test_large_weights_do_not_overflow(name: str, activation: str, dtype: torch.dtype) -> None:
    architecture = get_architecture(name, **settings_of(name, activation))
    images, labels = data.random_images(6, dtype=dtype)
    vectors = (30 * vectors_for(name, 2)).to(dtype)
    losses, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    assert torch.isfinite(losses).all()
    assert torch.isfinite(gradients).all()
    # The LSTM is chaotic at such weights: rounding grows over its 28 steps in any implementation.
    if dtype == torch.float64 and name != "lstm":
        for row, vector in enumerate(vectors):
            expected, _ = networks.loss_and_gradient(name, vector, images, labels, activation)
            assert losses[row].item() == pytest.approx(6 * expected, rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_nan_weights_give_nan_and_leave_the_others_alone(name: str) -> None:
    architecture = get_architecture(name)
    images, labels = data.random_images(6)
    vectors = vectors_for(name, 3)
    expected, expected_gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    broken = vectors.clone()
    broken[1] = math.nan
    losses, gradients = architecture.loss_sums_and_gradients(broken, images, labels)
    assert math.isnan(losses[1].item())
    assert torch.equal(losses[[0, 2]], expected[[0, 2]])
    assert torch.equal(gradients[[0, 2]], expected_gradients[[0, 2]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 50, 63, 64, 65, 150, 1000])
def test_last_bits_of_a_logistic_function_do_not_depend_on_where_a_number_lies(
    size: int, dtype: torch.dtype
) -> None:
    """Rows as they come out on their own, and in the middle of others, in place or not."""
    inputs = 5.0 * torch.randn(3, size, generator=torch.Generator().manual_seed(size), dtype=dtype)
    results = logistic(inputs, out=torch.empty_like(inputs))
    assert torch.allclose(results.double(), inputs.double().sigmoid(), rtol=1e-6, atol=0)
    whole = torch.stack([number.expand(VECTOR) for number in inputs.flatten()]).sigmoid()
    assert torch.equal(results.flatten(), whole[:, 0])
    for row in range(3):
        alone = inputs[row : row + 1].clone()
        assert torch.equal(logistic(alone, out=alone)[0], results[row])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "function"),
    [("softplus", lambda x: x.logaddexp(torch.zeros_like(x))), ("relu", torch.relu)],
)
def test_activations_and_their_slopes_are_those_of_autograd(
    name: str, function: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    """Also where exponentials underflow, which does not change the bits of the other numbers."""
    activation = get_activation(name)
    small = torch.linspace(-30.0, 30.0, 1000, dtype=dtype)
    far = torch.tensor([-1e4, -800.0, -100.0, 88.0, 100.0, 800.0, 1e4], dtype=dtype)
    numbers = torch.cat([small, far])
    leaf = numbers.clone().double().requires_grad_()
    expected = function(leaf)
    (slopes,) = torch.autograd.grad(expected.sum(), leaf)
    value, complement = activation.value_and_complement(numbers.clone())
    precision = {"rtol": 0, "atol": 2e-6} if dtype == torch.float32 else {"rtol": 0, "atol": 1e-14}
    torch.testing.assert_close(value.double(), expected, **precision)
    torch.testing.assert_close(1.0 - complement.double(), slopes, **precision)
    gradients = torch.linspace(-3.0, 3.0, len(numbers), dtype=dtype)
    found = times_slope(gradients.clone(), complement).double()
    torch.testing.assert_close(found, gradients.double() * slopes, **precision)
    assert torch.equal(activation.value(numbers.clone()), value)
    assert torch.equal(activation.value(small.clone()), value[: len(small)])


def test_a_chunk_knows_the_pixels_that_any_of_its_images_has() -> None:
    images = torch.tensor([[0.0, 0.5, 0.0, -1.0], [0.0, 0.0, 0.0, 0.25]])
    chunk = Chunk(images, torch.tensor([3, 4]))
    assert chunk.pixels.tolist() == [1, 3]
    assert torch.equal(chunk.ink, images[:, [1, 3]])
    assert Chunk(torch.zeros(2, 4), chunk.labels).ink.shape == (2, 0)


def test_unknown_names_and_settings_are_refused() -> None:
    with pytest.raises(TopographyError, match="transformer"):
        get_architecture("transformer")
    with pytest.raises(TopographyError, match="tanh"):
        get_architecture("fcp", activation="tanh")
    with pytest.raises(TopographyError, match="width"):
        get_architecture("lenet", width=3)


def test_pixels_have_ink_where_they_are_above_or_below_zero_in_any_image() -> None:
    images = torch.tensor([[0.0, 0.0, 0.5, 0.0, -1.0], [0.0, -0.5, 0.5, 0.0, 1.0]])
    assert has_ink(images).tolist() == [False, True, True, False, True]
