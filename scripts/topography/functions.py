"""Two functions without the benign geometry of networks, to train on in the networks' place.

Guille-Escuret et al. (arXiv 2306.11922, Sec. 6, Eq. 9) describe both in words; their formulas did
not survive in the published text, nor are they in the published code. The definitions here are
INFERRED from the words: sizes and learning rates are chosen, not known.

Each seed has a function of its own. Both answer what a minibatch optimizer and the training loop
ask of an objective: `count`, `losses` and `minibatch_losses_and_gradients`.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from topography.errors import TopographyError
from topography.randomness import generator


class FunctionObjective(ABC):
    """S functions of D variables, each a mean over `count` terms or without any."""

    count: int  # terms to draw minibatches from

    @abstractmethod
    def initial_params(self) -> Tensor:
        """Where each function's descent starts, [S, D], float64."""

    @abstractmethod
    def minibatch_losses_and_gradients(
        self, params: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses [S] and gradients [S, D] at params [S, D], of the terms with indices [S, n]."""

    def losses(self, params: Tensor) -> Tensor:
        """Losses [S] of all terms."""
        every = torch.arange(self.count, device=params.device).expand(len(params), -1)
        return self.minibatch_losses_and_gradients(params, every)[0]


class AsymmetricLinearModel(FunctionObjective):
    """Root mean square of how far outputs <a_i, w> lie above their targets b_i; convex.

    f_B(w) = sqrt(mean over i in B of max(0, <a_i, w> - b_i)^2), all coefficients and w_0 normal.
    """

    def __init__(self, seeds: list[int], dimension: int = 50, terms: int = 1000) -> None:
        """dimension: D; terms: number of the i."""
        self.count = terms
        self.inputs = _normal(seeds, "inputs", terms, dimension)  # a_i
        self.targets = _normal(seeds, "targets", terms)  # b_i
        self._start = _normal(seeds, "start", dimension)

    def initial_params(self) -> Tensor:
        return self._start.clone()

    def minibatch_losses_and_gradients(
        self, params: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = torch.arange(len(params))[:, None]
        inputs = self.inputs[rows, indices]  # [S, n, D]
        outputs = torch.bmm(inputs, params.unsqueeze(2)).squeeze(2)
        excess = (outputs - self.targets[rows, indices]).clamp(min=0.0)
        losses = excess.square().mean(1).sqrt()
        gradients = torch.bmm(excess.unsqueeze(1), inputs).squeeze(1) / indices.shape[1]
        # Where all outputs lie below their targets the loss is at its least, 0: no slope.
        return losses, torch.where(losses[:, None] > 0, gradients / losses[:, None], 0.0)


class SinusoidalMixture(FunctionObjective):
    """f(w) = sum over k of alpha_k sin(<beta_k, w> + phi_k); deterministic, not convex.

    alpha and beta are standard normal, phi has standard deviation pi, w_0 is standard normal.
    """

    def __init__(
        self, seeds: list[int], dimension: int = 100, terms: int = 100, steps_per_epoch: int = 100
    ) -> None:
        """dimension: D; terms: number of the k; steps_per_epoch: how many minibatches of one make
        an epoch, since there is nothing to draw.
        """
        self.count = steps_per_epoch
        self.amplitudes = _normal(seeds, "amplitudes", terms)
        self.frequencies = _normal(seeds, "frequencies", terms, dimension)
        self.phases = math.pi * _normal(seeds, "phases", terms)
        self._start = _normal(seeds, "start", dimension)

    def initial_params(self) -> Tensor:
        return self._start.clone()

    def minibatch_losses_and_gradients(
        self, params: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        angles = torch.bmm(self.frequencies, params.unsqueeze(2)).squeeze(2) + self.phases
        losses = (self.amplitudes * angles.sin()).sum(1)
        slopes = self.amplitudes * angles.cos()
        return losses, torch.bmm(slopes.unsqueeze(1), self.frequencies).squeeze(1)


FUNCTIONS = {
    "asymmetric_linear": AsymmetricLinearModel,
    "sinusoidal_mixture": SinusoidalMixture,
}


def get_function(name: str, seeds: list[int], **settings: Any) -> FunctionObjective:
    """The function of that name, one for each seed.

    Raises:
        TopographyError: no such function, or settings it does not take.
    """
    if name not in FUNCTIONS:
        raise TopographyError(
            f"unknown function {name!r}; there are {', '.join(FUNCTIONS)}. Correct the run."
        )
    try:
        return FUNCTIONS[name](seeds, **settings)
    except TypeError as error:
        raise TopographyError(f"function {name!r}, settings {settings}: {error}") from error


def _normal(seeds: list[int], purpose: str, *shape: int) -> Tensor:
    """Standard normal numbers [S, *shape], float64, each seed's from a stream of its own."""
    return torch.stack(
        [
            torch.randn(shape, generator=generator(seed, purpose), dtype=torch.float64)
            for seed in seeds
        ]
    )
