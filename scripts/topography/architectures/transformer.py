"""Transformer that predicts the next token of a text."""

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from topography.architectures.base import AutogradArchitecture, Parameter
from topography.modules import are_counts

Blocks = dict[str, Tensor]


class LanguageModel(AutogradArchitecture):
    """Encoder layers that look back only, as PyTorch's example of a word language model has them.

    An image is a sequence of tokens, its label the token after each; its loss is the mean
    cross-entropy over the positions. There is no dropout: a loss is a function of the weights. The
    defaults but `tokens` are those of Guille-Escuret et al. for WikiText-2.
    """

    name = "transformer"
    image_size = None

    def __init__(
        self,
        tokens: int,
        features: int = 128,
        hidden: int = 128,
        heads: int = 4,
        layers: int = 12,
    ) -> None:
        """tokens: size of the vocabulary; features: of each position; hidden: units of the dense
        part of a layer; heads: of the attention, a divisor of features.
        """
        if not are_counts(tokens, features, hidden, heads, layers) or features % (2 * heads):
            raise ValueError(
                "all settings must be whole numbers of at least 1, features a multiple of 2 * heads"
            )
        self.features, self.heads, self.layers = features, heads, layers
        self.parameters = tuple(_parameters(tokens, features, hidden, layers))
        self.activation_floats = tokens * 3 + layers * (12 * features + 2 * hidden)  # by position

    def floats_per_image(self, length: int) -> int:
        # Of all layers the attention of each position to each, and three steps to that of one.
        attention = (self.layers + 3) * self.heads * length**2
        return length * self.activation_floats + attention

    def initialise(self, generator: torch.Generator) -> Tensor:
        """Matrices uniform within 1 / sqrt(inputs), biases 0, normalisations the identity.

        Embedding and output begin as in PyTorch's example, the attention 18 % narrower.
        """
        params = super().initialise(generator)
        for name, block in self.split(params[None]).items():
            if "norm" in name and name.endswith("weight"):
                block.fill_(1.0)
            elif name.endswith("bias"):
                block.fill_(0.0)
        return params

    def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        blocks = self.split(params)
        networks, length = len(params), images.shape[-1]
        tokens = images.expand(networks, -1, -1)  # [B, n, L]
        rows = torch.arange(networks, device=params.device)[:, None, None]
        values = blocks["embedding.weight"][rows, tokens] * math.sqrt(self.features)
        values = values + _positions(length, self.features, values.device, values.dtype)
        values = values.flatten(1, 2)  # [B, n * L, features]
        for layer in range(self.layers):
            name = f"layer_{layer + 1}."
            attended = self._attend(values, blocks, name, length)
            values = _normalise(values + attended, blocks, f"{name}norm_1.")
            hidden = functional.relu(_dense(values, blocks, f"{name}dense_1."))
            values = _normalise(
                values + _dense(hidden, blocks, f"{name}dense_2."), blocks, f"{name}norm_2."
            )
        logits = _dense(values, blocks, "output.")
        losses = functional.cross_entropy(
            logits.flatten(0, 1), labels.expand(networks, -1, -1).flatten(), reduction="none"
        )
        return losses.view(networks, -1, length).mean(2)

    def _attend(self, values: Tensor, blocks: Blocks, name: str, length: int) -> Tensor:
        """Each position's mixture of itself and those before it, [B, n * L, features]."""
        mixed = _dense(values, blocks, f"{name}attention_in.")
        # [B, n, L, 3, heads, features per head] -> three times [B, n, heads, L, ...]
        split = mixed.view(len(values), -1, length, 3, self.heads, self.features // self.heads)
        queries, keys, contents = split.permute(3, 0, 1, 4, 2, 5)
        scores = queries @ keys.mT / math.sqrt(queries.shape[-1])
        later = torch.ones(length, length, dtype=torch.bool, device=values.device).triu(1)
        attention = scores.masked_fill(later, -math.inf).softmax(-1)
        heads = (attention @ contents).transpose(2, 3)  # [B, n, L, heads, ...]
        return _dense(heads.flatten(3).flatten(1, 2), blocks, f"{name}attention_out.")


def _dense(values: Tensor, blocks: Blocks, name: str) -> Tensor:
    return torch.baddbmm(blocks[f"{name}bias"].unsqueeze(1), values, blocks[f"{name}weight"].mT)


def _normalise(values: Tensor, blocks: Blocks, name: str) -> Tensor:
    normal = functional.layer_norm(values, values.shape[-1:])
    return normal * blocks[f"{name}weight"].unsqueeze(1) + blocks[f"{name}bias"].unsqueeze(1)


@functools.cache  # a copy from the processor makes it wait for a GPU
def _positions(length: int, features: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sines and cosines of geometrically spaced wavelengths, [L, features], not to be changed."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    rates = torch.exp(
        torch.arange(0, features, 2, dtype=torch.float64) * (-math.log(1e4) / features)
    )
    waves = torch.stack([(position * rates).sin(), (position * rates).cos()], dim=2)
    return waves.flatten(1).to(device, dtype)


def _parameters(tokens: int, features: int, hidden: int, layers: int) -> Iterator[Parameter]:
    # Uniform in ±0.1, which is 1 / sqrt(100), as in PyTorch's example.
    yield Parameter("embedding.weight", (tokens, features), 100)
    for layer in range(1, layers + 1):
        for name, outputs, inputs in (
            ("attention_in", 3 * features, features),
            ("attention_out", features, features),
            ("dense_1", hidden, features),
            ("dense_2", features, hidden),
        ):
            yield Parameter(f"layer_{layer}.{name}.weight", (outputs, inputs), inputs)
            yield Parameter(f"layer_{layer}.{name}.bias", (outputs,), inputs)
        for number in (1, 2):
            yield Parameter(f"layer_{layer}.norm_{number}.weight", (features,), 1)
            yield Parameter(f"layer_{layer}.norm_{number}.bias", (features,), 1)
    yield Parameter("output.weight", (tokens, features), 100)
    yield Parameter("output.bias", (tokens,), features)


ARCHITECTURE = LanguageModel
