"""Loss landscapes: anything that gives losses and gradients of points, many points at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor


class LinearCombinations:
    """The points mixing @ vectors of a landscape, for few vectors and many mixtures of them.

    A straight line has two vectors, a line search a point and a direction, a Fourier path the two
    ends and its coefficients. `landscape.combination(vectors)` makes one; a landscape with
    structure to exploit returns a faster subclass.
    """

    def __init__(self, landscape: "Landscape", vectors: Tensor) -> None:
        """vectors: [B, K, P], the K vectors of each of B families of points."""
        self.landscape = landscape
        self.vectors = vectors.detach()  # gradients are computed, not recorded

    def extended(self, vectors: Tensor) -> "LinearCombinations":
        """The combinations of these vectors followed by further ones [B, K', P]."""
        return LinearCombinations(self.landscape, torch.cat([self.vectors, vectors], dim=1))

    def losses(self, mixing: Tensor, rows: Tensor | None = None) -> Tensor:
        """Losses [B, M], float64, of the points mixing @ vectors.

        mixing: [B, M, K], or [M, K] for the same mixtures in every family.
        rows: the families meant, as indices [A] (default all); mixing and result then have A in
        place of B.
        """
        vectors = self.vectors if rows is None else self.vectors[rows]
        points = torch.matmul(mixing, vectors)
        return self.landscape.losses(points.flatten(0, 1)).unflatten(0, points.shape[:2])

    def losses_and_gradients(self, mixing: Tensor, fixed: int = 0) -> tuple[Tensor, Tensor]:
        """Losses [B, M] of the points mixing @ vectors and gradients [B, K, P] for the vectors.

        The gradient for vector k is the sum over m of mixing[m, k] times that at point m.

        fixed: so many of the vectors, the first ones, need no gradients; those have K - fixed in
            place of K.
        """
        points = torch.matmul(mixing, self.vectors)
        losses, gradients = self.landscape.losses_and_gradients(points.flatten(0, 1))
        return (
            losses.unflatten(0, points.shape[:2]),
            torch.matmul(mixing[..., fixed:].mT, gradients.unflatten(0, points.shape[:2])),
        )


class Landscape(ABC):
    """A function of a point, evaluated for many points at once, each on its own."""

    @abstractmethod
    def losses(self, points: Tensor) -> Tensor:
        """Losses [B], float64, of the points [B, P]."""

    @abstractmethod
    def losses_and_gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Losses [B], float64, and gradients [B, P] of the points [B, P]."""

    def combination(self, vectors: Tensor, reuse: bool = False) -> LinearCombinations:
        """The landscape restricted to linear combinations of vectors [B, K, P].

        reuse: losses will be asked for many times, so what depends on the vectors alone is worth
        keeping.
        """
        return LinearCombinations(self, vectors)


class FunctionLandscape(Landscape):
    """Any function that autograd can differentiate, as a landscape."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """function: maps points [B, P] to their losses [B], each point on its own.

        Both methods raise ValueError where it gives something of another shape.
        """
        self.function = function

    def losses(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            return self._values(points).double()

    def _values(self, points: Tensor) -> Tensor:
        values = self.function(points)
        if values.shape != points.shape[:1]:
            raise ValueError(
                f"the function gave {list(values.shape)} for points {list(points.shape)}; it has "
                f"to map points [B, P] to losses [B], here [{len(points)}]"
            )
        return values

    def losses_and_gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            losses = self._values(leaf)
            (gradients,) = torch.autograd.grad(losses.sum(), leaf)
        return losses.detach().double(), gradients
