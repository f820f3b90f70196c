"""What every architecture offers: losses and gradients of many parameter vectors at once.

Shapes used throughout: B networks (parameter vectors), n images, D pixels (784 but for those that
can be set to others, see `image_size`), P parameters.
Activations are *feature-major*, [B, features, n]: a layer is then `weights @ activations` with the
weight matrices as PyTorch stores them, and elementwise work runs over contiguous images.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from topography.errors import TopographyError

PIXELS = 784

# Numbers that the layers behind a dense first one hold at a time on a CPU.
CPU_HEAD_ACTIVATIONS = 2**21


class Parameter(NamedTuple):
    """One named block of the flat parameter vector."""

    name: str
    shape: tuple[int, ...]
    fan_in: int  # PyTorch's default initialisation: uniform in ±1/sqrt(fan_in)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Chunk:
    """Some images [n, D], a view of [D, n] since activations are feature-major, and their labels
    [n]."""

    images: Tensor
    labels: Tensor

    @cached_property
    def pixels(self) -> Tensor:
        """Indices of the pixels where any of the images is not zero, [d]."""
        return has_ink(self.images).nonzero().squeeze(1)

    @cached_property
    def ink(self) -> Tensor:
        """The images at these pixels, [n, d], a view of [d, n]."""
        return self.images.mT.index_select(0, self.pixels).mT


def has_ink(images: Tensor) -> Tensor:
    """Which pixels are not zero in some of the images [n, D]: [D]."""
    by_pixel = images.mT
    # A third of the time of (images != 0).any(0).
    return (by_pixel.amin(1) != 0) | (by_pixel.amax(1) != 0)


class Architecture(ABC):
    """A small network: its parameter blocks, and losses and gradients of a batch of networks.

    The ways to write one: `AutogradArchitecture` (a forward pass only, the place to start),
    `DenseInputArchitecture` (dense first layer, computed once for many related networks),
    `BlockwiseArchitecture` (forward and backward written by hand, cut to a processor's caches), or
    this class.
    """

    name: str
    image_size: int | None = PIXELS  # numbers of an image, D; None reads texts of any length
    parameters: tuple[Parameter, ...]  # in the order of PyTorch's module.parameters()
    activation_floats: int  # numbers held per image and network while a gradient is computed

    def floats_per_image(self, length: int) -> int:
        """`activation_floats` for an image, or a text, of this many numbers or tokens."""
        return self.activation_floats

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {parameter.name: parameter.shape for parameter in self.parameters}

    @property
    def parameter_count(self) -> int:
        return sum(parameter.size for parameter in self.parameters)

    def initialise(self, generator: torch.Generator) -> Tensor:
        """Initial parameter vector [P], float32, distributed as PyTorch's own layers start."""
        blocks = []
        for parameter in self.parameters:
            bound = 1.0 / math.sqrt(parameter.fan_in)
            blocks.append((2.0 * torch.rand(parameter.size, generator=generator) - 1.0) * bound)
        return torch.cat(blocks)

    def split(self, params: Tensor) -> dict[str, Tensor]:
        """Views of the blocks of params [B, P], each [B, *shape], by name."""
        sizes = [parameter.size for parameter in self.parameters]
        blocks = params.split(sizes, dim=-1)
        return {
            parameter.name: block.unflatten(-1, parameter.shape)
            for parameter, block in zip(self.parameters, blocks, strict=True)
        }

    @abstractmethod
    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Sum of the image losses, [B], float64.

        params: [B, P]; images: [n, D] shared by all networks, or [B, n, D], each network its own;
        labels: [n] or [B, n], int64. Of texts both are tokens [n, L] or [B, n, L], int64.
        """

    @abstractmethod
    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss sums [B], float64, and their gradients [B, P]; arguments as for `loss_sums`."""

    def project(self, vectors: Tensor, chunk: Chunk) -> Tensor | None:
        """What can be computed of vectors [b, K, P] before they are mixed; None if nothing."""
        return None

    def combination_loss_sums(
        self, vectors: Tensor, mixing: Tensor, projections: Tensor | None, chunk: Chunk
    ) -> Tensor:
        """Loss sums [b, M], float64, of the networks mixing @ vectors.

        vectors: [b, K, P]; mixing: [b, M, K]; projections: `project(vectors, chunk)`.
        """
        points = torch.bmm(mixing, vectors)
        losses = self.loss_sums(points.flatten(0, 1), chunk.images, chunk.labels)
        return losses.view(points.shape[:2])

    def add_combination_gradients(
        self,
        vectors: Tensor,
        mixing: Tensor,
        projections: Tensor | None,
        chunk: Chunk,
        gradients: Tensor,
    ) -> Tensor:
        """Loss sums as above; adds the gradients of their sum over m, for the last K' of the
        vectors, to `gradients` [b, K', P]."""
        points = torch.bmm(mixing, vectors)
        losses, of_points = self.loss_sums_and_gradients(
            points.flatten(0, 1), chunk.images, chunk.labels
        )
        moving = mixing[..., mixing.shape[2] - gradients.shape[1] :]
        gradients.baddbmm_(moving.mT, of_points.view(points.shape))
        return losses.view(points.shape[:2])


class BlockwiseArchitecture(Architecture):
    """An architecture that cuts its work into blocks that fit a CPU's caches itself."""

    @abstractmethod
    def block_loss_sums(
        self, params: Tensor, images: Tensor, labels: Tensor, gradients: Tensor | None
    ) -> Tensor:
        """Loss sums [B], float64; adds their gradients to `gradients` [B, P] where given."""

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return self.block_loss_sums(params, images, labels, None)

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        gradients = torch.zeros_like(params)
        return self.block_loss_sums(params, images, labels, gradients), gradients


class AutogradArchitecture(Architecture):
    """An architecture given by its forward pass alone; gradients come from autograd."""

    @abstractmethod
    def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Differentiable loss of every image, [B, n]; arguments as for `loss_sums`."""

    def _loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Differentiable loss sums, [B].

        Raises:
            TopographyError: `image_losses` gave something else than a loss per network and image,
                such as their mean, which would be taken for losses and divided once more.
        """
        losses = self.image_losses(params, images, labels)
        expected = (len(params), images.shape[-2])
        if losses.shape != expected:
            raise TopographyError(
                f"image_losses of {self.name} gave numbers of shape {list(losses.shape)}, expected "
                f"{list(expected)}: one loss per network and image, neither their mean nor their "
                "sum. Correct it in the module of that architecture."
            )
        return losses.sum(-1, dtype=torch.float64)

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            return self._loss_sums(params, images, labels)

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = params.detach().requires_grad_()
            # Networks do not interact, so the gradient of the total holds each network's own.
            losses = self._loss_sums(leaf, images, labels)
            (gradients,) = torch.autograd.grad(losses.sum(), leaf)
        return losses.detach(), gradients


class DenseInputArchitecture(Architecture):
    """A network whose first parameter block is a dense, bias-free layer over the pixels.

    The first layer's output (the *features*) is linear in its weights, so for networks that are
    linear combinations of K vectors it is computed for the vectors and then mixed: K products with
    the images instead of M. Backwards, gradients are mixed before they meet the images. Everything
    behind the first layer is the *head*, written by hand in the two abstract methods.
    """

    @property
    def features(self) -> int:
        """Number of units of the first layer, F."""
        return self.parameters[0].shape[0]

    @property
    def input_size(self) -> int:
        """Number of parameters of the first layer."""
        return self.parameters[0].size

    @abstractmethod
    def head_loss_sums(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Loss sums [B], float64, from features [B, F, n] and head parameters [B, P_head]."""

    @abstractmethod
    def head_loss_sums_and_gradients(
        self, features: Tensor, head_params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss sums [B], and gradients for the features and for the head parameters."""

    def loss_sums(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        features = _dense(self._first_weights(params), images)
        return self.head_loss_sums(features, params[:, self.input_size :], images, labels)

    def loss_sums_and_gradients(
        self, params: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        features = _dense(self._first_weights(params), images)
        losses, of_features, of_head = self.head_loss_sums_and_gradients(
            features, params[:, self.input_size :], images, labels
        )
        gradients = torch.empty_like(params)
        self._first_weights(gradients).copy_(_dense(of_features, images.mT))
        gradients[:, self.input_size :] = of_head
        return losses, gradients

    def project(self, vectors: Tensor, chunk: Chunk) -> Tensor:
        """Features of the vectors [b, K, P] themselves: [b, K, F, n]."""
        weights = self._first_weights(vectors.flatten(0, 1)).index_select(2, chunk.pixels)
        return _dense(weights, chunk.ink).unflatten(0, vectors.shape[:2])

    def combination_loss_sums(
        self, vectors: Tensor, mixing: Tensor, projections: Tensor | None, chunk: Chunk
    ) -> Tensor:
        losses = []
        for few in self._few_points(mixing, chunk):
            features, head_params = self._mix(vectors, few, projections)
            sums = self.head_loss_sums(features, head_params, chunk.images, chunk.labels)
            losses.append(sums.view(few.shape[:2]))
        return torch.cat(losses, dim=1)

    def add_combination_gradients(
        self,
        vectors: Tensor,
        mixing: Tensor,
        projections: Tensor | None,
        chunk: Chunk,
        gradients: Tensor,
    ) -> Tensor:
        assert projections is not None
        losses = []
        fixed = mixing.shape[2] - gradients.shape[1]
        feature_gradients = torch.zeros_like(projections[:, fixed:].flatten(2))
        head_gradients = gradients[..., self.input_size :]
        for few in self._few_points(mixing, chunk):
            features, head_params = self._mix(vectors, few, projections)
            sums, of_features, of_head = self.head_loss_sums_and_gradients(
                features, head_params, chunk.images, chunk.labels
            )
            losses.append(sums.view(few.shape[:2]))
            moving = few[..., fixed:].mT
            feature_gradients.baddbmm_(moving, of_features.view(*few.shape[:2], -1))
            head_gradients.baddbmm_(moving, of_head.view(*few.shape[:2], -1))
        feature_gradients = feature_gradients.view(-1, *projections.shape[2:])
        products = _dense(feature_gradients, chunk.ink.mT)
        weight_gradients = self._first_weights(gradients.view(-1, self.parameter_count))
        weight_gradients.index_add_(2, chunk.pixels, products)
        return torch.cat(losses, dim=1)

    def _few_points(self, mixing: Tensor, chunk: Chunk) -> tuple[Tensor, ...]:
        """Parts [b, m, K] of mixing [b, M, K]: on a CPU, about as many points as its caches hold,
        alike in size."""
        if mixing.device.type != "cpu":
            return (mixing,)
        activations = mixing.shape[1] * self.activation_floats * len(chunk.images)
        parts = max(min(round(activations / CPU_HEAD_ACTIVATIONS), mixing.shape[1]), 1)
        return mixing.tensor_split(parts, dim=1)

    def _first_weights(self, params: Tensor) -> Tensor:
        """View of the weights of the first layer, [B, F, D], in params [B, P]."""
        return params[:, : self.input_size].unflatten(1, self.parameters[0].shape)

    def _mix(
        self, vectors: Tensor, mixing: Tensor, projections: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Features [b M, F, n] and head parameters [b M, P_head] of the mixtures."""
        assert projections is not None
        features = torch.bmm(mixing, projections.flatten(2)).view(-1, *projections.shape[2:])
        return features, torch.bmm(mixing, vectors[..., self.input_size :]).flatten(0, 1)


def _dense(weights: Tensor, inputs: Tensor) -> Tensor:
    """weights [B, F, d] times inputs [n, d] or, each network its own, [B, n, d]: [B, F, n]."""
    if inputs.dim() == 2:  # one large product
        return (weights.flatten(0, 1) @ inputs.T).unflatten(0, weights.shape[:2])
    return torch.bmm(weights, inputs.mT)


class Activation(NamedTuple):
    """An elementwise non-linearity: its value, and its value together with 1 - its derivative, the
    complement that `times_slope` takes.

    Both may overwrite their argument, and are not for use under autograd.
    """

    value: Callable[[Tensor], Tensor]
    value_and_complement: Callable[[Tensor], tuple[Tensor, Tensor]]


def times_slope(gradients: Tensor, complement: Tensor) -> Tensor:
    """gradients * (1 - complement), in their place."""
    return gradients.addcmul_(gradients, complement, value=-1.0)


VECTOR = 64  # a multiple of the numbers that a CPU takes at a time


def logistic(x: Tensor, out: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) of contiguous x, whose last bits do not depend on where a number lies.

    On a CPU, what is left over when a tensor has been cut into vectors is computed one by one and
    rounds differently, so it is computed once more as a vector.
    """
    if x.device.type != "cpu" or x.numel() % VECTOR == 0:
        return torch.sigmoid(x, out=out)
    rest = min(VECTOR, x.numel())
    last = pad(x.view(-1)[-rest:], (0, VECTOR - rest))  # a copy, as x may be out
    torch.sigmoid(x, out=out)
    out.view(-1)[-rest:] = torch.sigmoid(last)[:rest]
    return out


def _softplus(x: Tensor) -> Tensor:
    return _softplus_and_complement(x)[0]


def _softplus_and_complement(x: Tensor) -> tuple[Tensor, Tensor]:
    """log(1 + exp x) = -log(sigmoid(-x)), and sigmoid(-x), which is 1 - its derivative.

    A logistic function and a logarithm take a third less time than an exponential and a logarithm
    of 1 + it. For large x the former underflows, but softplus(x) = x long before.
    """
    negative = x.neg_()
    complement = logistic(negative, out=torch.empty_like(negative))
    tiny = torch.finfo(x.dtype).tiny
    # Mostly nothing underflows, but on a GPU the answer would have to be waited for.
    if x.device.type == "cpu" and x.numel() > 0 and complement.amin() >= tiny:
        logarithm = torch.log(complement, out=negative)
    else:
        logarithm = torch.where(complement < tiny, negative, complement.log())
    return logarithm.neg_(), complement


def _relu_and_complement(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.clamp(min=0.0), (x <= 0).to(x.dtype)


ACTIVATIONS = {
    "softplus": Activation(_softplus, _softplus_and_complement),
    "relu": Activation(torch.relu, _relu_and_complement),
}


def get_activation(name: str) -> Activation:
    """The activation of that name. Raises ValueError when there is none."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every image, [B, n], from feature-major logits [B, classes, n]."""
    log_probabilities = torch.log_softmax(logits, dim=1)
    return -_pick(log_probabilities, labels)


def cross_entropy_and_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every image, [B, n], and its gradient for the logits [B, classes, n]."""
    log_probabilities = torch.log_softmax(logits, dim=1)
    losses = -_pick(log_probabilities, labels)
    classes = torch.arange(logits.shape[1], device=logits.device).unsqueeze(1)
    true = labels.unsqueeze(-2) == classes  # [(B,) classes, n]
    return losses, log_probabilities.exp_().sub_(true.to(logits.dtype))


def _pick(values: Tensor, labels: Tensor) -> Tensor:
    """values[b, labels[(b,) i], i], [B, n]."""
    index = labels.expand(values.shape[0], values.shape[2]).unsqueeze(1)
    return values.gather(1, index).squeeze(1)
