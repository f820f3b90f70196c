"""MLP, residual network and language model against ordinary PyTorch modules, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from topography.architectures import get_architecture
from topography.architectures.base import Architecture
from topography.architectures.mlp import MultilayerPerceptron
from topography.errors import TopographyError
from topography.randomness import generator

TOKENS, LENGTH, FEATURES = 11, 6, 8


class Block(nn.Module):
    """Basic block of a residual network, with group normalisation."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(groups, outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


def residual_module() -> nn.Module:
    """Stages of 4 and 8 channels, one and two blocks, images of 2 x 6 x 6."""
    return nn.Sequential(
        nn.Unflatten(1, (2, 6, 6)),
        nn.Conv2d(2, 4, 3, 1, 1, bias=False),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        Block(4, 4, 1, 2),
        Block(4, 8, 2, 2),
        Block(8, 8, 1, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


class LanguageModule(nn.Module):
    """nn.TransformerEncoder under a causal mask, with sinusoidal positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, FEATURES)
        layer = nn.TransformerEncoderLayer(FEATURES, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.output = nn.Linear(FEATURES, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.zeros(LENGTH, FEATURES, dtype=torch.float64)
        for place in range(LENGTH):
            for pair in range(FEATURES // 2):
                angle = place / 10_000 ** (2 * pair / FEATURES)
                positions[place, 2 * pair] = math.sin(angle)
                positions[place, 2 * pair + 1] = math.cos(angle)
        values = self.embedding(tokens) * math.sqrt(FEATURES) + positions
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=torch.float64)
        return self.output(self.encoder(values, mask=mask))


def case(name: str) -> tuple[Architecture, nn.Module, Tensor, Tensor]:
    """The architecture, its module, and 7 images with labels."""
    random = torch.Generator().manual_seed(3)
    images = torch.rand(7, 72, generator=random, dtype=torch.float64)
    labels = torch.randint(10, (7,), generator=random)
    if name == "mlp":
        layers = [nn.Linear(72, 9), nn.ReLU(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 10)]
        return (
            get_architecture("mlp", hidden=[9, 6], inputs=72),
            nn.Sequential(*layers),
            images,
            labels,
        )
    if name == "resnet":
        settings = {"channels": [4, 8], "blocks": [1, 2], "image": [2, 6, 6], "groups": 2}
        return get_architecture("resnet", **settings), residual_module(), images, labels
    settings = {"tokens": TOKENS, "features": FEATURES, "hidden": 12, "heads": 2, "layers": 2}
    tokens = torch.randint(TOKENS, (7, LENGTH + 1), generator=random)
    return (
        get_architecture("transformer", **settings),
        LanguageModule(),
        tokens[:, :-1],
        tokens[:, 1:],
    )


def module_loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of one module."""
    outputs = module(images)
    return functional.cross_entropy(outputs.flatten(0, -2), labels.flatten())


NAMES = ["mlp", "resnet", "transformer"]


@pytest.mark.parametrize("own_images", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_equal_one_module_at_a_time(name: str, own_images: bool) -> None:
    architecture, module, images, labels = case(name)
    module = module.double()
    parameters = list(module.parameters())
    assert [tuple(p.shape) for p in parameters] == list(architecture.parameter_shapes.values())
    random = torch.Generator().manual_seed(1)
    vectors = 0.3 * torch.randn(
        2, architecture.parameter_count, generator=random, dtype=torch.float64
    )
    if own_images:
        images, labels = torch.stack([images, images.flip(0)]), torch.stack([labels, labels])
    losses, gradients = architecture.loss_sums_and_gradients(vectors, images, labels)
    for row, vector in enumerate(vectors):
        nn.utils.vector_to_parameters(vector, parameters)
        mine, whose = (images[row], labels[row]) if own_images else (images, labels)
        loss = module_loss(module, mine, whose)
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
        torch.testing.assert_close(losses[row], 7 * loss.detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradients[row], 7 * expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_weights_begin_uniform_and_normalisations_as_the_identity(name: str) -> None:
    architecture = case(name)[0]
    random = torch.Generator().manual_seed(2)
    params = torch.stack([architecture.initialise(random) for _ in range(200)])
    for block, values in architecture.split(params).items():
        if "norm" in block or (name == "transformer" and block.endswith("bias")):
            assert (values == (1.0 if block.endswith("weight") else 0.0)).all()
            continue
        shape = architecture.parameter_shapes[block]
        inputs = math.prod(shape[1:])
        if name == "transformer" and block.startswith(("embedding", "output")):
            inputs = 100  # as PyTorch's example has it
        if block.endswith("bias"):
            inputs = math.prod(architecture.parameter_shapes[block[:-4] + "weight"][1:])
        bound = inputs**-0.5
        assert values.abs().max() <= bound
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_images_and_networks_do_not_notice_their_neighbours(name: str) -> None:
    architecture, _, images, labels = case(name)
    vectors = torch.stack(
        [architecture.initialise(generator(seed, "initialisation")) for seed in (0, 1)]
    ).double()
    together = architecture.image_losses(vectors, images, labels)
    alone = architecture.image_losses(vectors[1:], images[2:3], labels[2:3])
    torch.testing.assert_close(alone[0, 0], together[1, 2], rtol=1e-12, atol=0)


@pytest.mark.parametrize("dimensions", [(1,), (0, 1), (0,)], ids=["images", "all", "networks"])
def test_a_mean_in_place_of_the_losses_of_images_is_refused(dimensions: tuple[int, ...]) -> None:
    """Taken for losses, it would be divided by the number of images once more."""

    class Mean(MultilayerPerceptron):
        def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
            return super().image_losses(params, images, labels).mean(dimensions)

    architecture = Mean(hidden=[3], inputs=4)
    images, labels = torch.zeros(5, 4), torch.zeros(5, dtype=torch.int64)
    arguments = (torch.zeros(2, architecture.parameter_count), images, labels)
    for method in (architecture.loss_sums, architecture.loss_sums_and_gradients):
        with pytest.raises(TopographyError, match=r"image_losses of mlp .* expected \[2, 5\]"):
            method(*arguments)


def test_the_default_residual_network_is_resnet18_for_cifar10() -> None:
    assert get_architecture("resnet").parameter_count == 11_173_962
    wide = get_architecture("resnet", channels=[128, 256, 512, 1024])
    assert wide.parameter_count == 44_662_922
    mlp = get_architecture("mlp", hidden=[4096, 4096, 4096], inputs=3072)
    assert mlp.parameter_count == 46_190_602


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mlp", {"hidden": [0]}),
        ("mlp", {"hidden": [2.5]}),
        ("mlp", {"activation": "tanh"}),
        ("resnet", {"channels": [8], "blocks": [1, 1]}),
        ("resnet", {"channels": [9], "blocks": [1]}),
        ("resnet", {"image": [28, 28]}),
        ("resnet", {"groups": 0}),
        ("resnet", {"stem_stride": 0}),
        ("resnet", {"channels": [8.0], "blocks": [1]}),
        ("transformer", {"tokens": 9, "features": 10, "heads": 4}),
        ("transformer", {"tokens": 9, "layers": True}),
        ("transformer", {}),
    ],
)
def test_impossible_settings_are_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(TopographyError, match=name):
        get_architecture(name, **settings)
