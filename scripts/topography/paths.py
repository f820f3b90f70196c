"""FourierPathFinder: low-loss paths between two points of any landscape (paper, Sec. II.3,
Algorithm 2).

    from topography.landscape import FunctionLandscape
    from topography.paths import find_path

    landscape = FunctionLandscape(lambda points: points.square().sum(1))
    path = find_path(landscape, start, end, penalty=10.0)
    path.points(101), path.losses(landscape, 101).max()

A path is w(t) = t start + (1 - t) end + sum_n b_n sin(n pi t) for t in [0, 1] (Eq. 3; t = 1 is the
start). All its points are linear combinations of the two ends and the coefficients b_n, and that
is how landscapes are asked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from topography.landscape import Landscape

# landscape_at(step) -> the landscape whose gradient step `step` follows, such as a fresh sample of
# images
LandscapeAt = Callable[[int], Landscape]


@dataclass
class Paths:
    """S Fourier paths.

    starts, ends: [S, P]; coefficients: [S, N, P]; step_losses: sum of the losses over the points
    of the path before each optimisation step, [S, steps] (first term of Eq. 4).
    """

    starts: Tensor
    ends: Tensor
    coefficients: Tensor
    step_losses: Tensor

    def points(self, count: int) -> Tensor:
        """Points of the paths at `count` equally spaced t from 0 to 1, [S, count, P]."""
        return torch.matmul(self._basis(count), self._vectors())

    def losses(self, landscape: Landscape, count: int) -> Tensor:
        """Losses at `count` equally spaced t from 0 to 1, [S, count], float64; their maximum is
        Eq. 5."""
        return landscape.combination(self._vectors()).losses(self._basis(count))

    def lengths(self, count: int) -> Tensor:
        """Euclidean lengths [S] of the polygons through `count` equally spaced t."""
        differences = self._basis(count).diff(dim=0)
        return torch.matmul(differences, self._vectors()).norm(dim=2).double().sum(dim=1)

    def straight(self) -> "Paths":
        """The straight lines between the same ends: no Fourier terms."""
        no_terms = self.coefficients[:, :0]
        return Paths(self.starts, self.ends, no_terms, self.step_losses[:, :0])

    def _vectors(self) -> Tensor:
        return torch.cat([self.starts[:, None], self.ends[:, None], self.coefficients], dim=1)

    def _basis(self, count: int) -> Tensor:
        like = self.coefficients
        return path_basis(count, like.shape[1]).to(dtype=like.dtype, device=like.device)


def path_basis(points: int, terms: int) -> Tensor:
    """Weights of (start, end, b_1 ... b_terms) at equally spaced t from 0 to 1, [points, 2 +
    terms], float64."""
    t = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    orders = torch.arange(1, terms + 1, dtype=torch.float64)
    waves = torch.sin(math.pi * t[:, None] * orders)
    waves[-1] = 0.0  # sin(n pi) is not exactly 0 in floating point; the path must end at its end
    return torch.cat([t[:, None], 1.0 - t[:, None], waves], dim=1)


def find_paths(
    landscape: Landscape,
    starts: Tensor,
    ends: Tensor,
    *,
    terms: int = 10,
    points: int = 51,
    penalty: float = 1e-4,
    steps: int = 100,
    learning_rate: float = 1e-3,
    keep: str = "lowest",
    landscape_at: LandscapeAt | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Paths:
    """Low-loss paths between S pairs of points, optimised side by side (Algorithm 2).

    Minimises over the coefficients, with Adam, the sum of the losses at the points of the path plus
    `penalty` times the sum of the squared distances between neighbouring points (Eq. 4).

    Args:
        landscape: gives losses and gradients of points [B, P].
        starts, ends: [S, P], on the landscape's device.
        terms: Fourier terms N_F.
        points: equally spaced values of t, M, both ends included.
        penalty: lambda of Eq. 4.
        steps: Adam steps.
        learning_rate: of Adam.
        keep: "lowest" keeps the coefficients with the lowest summed loss met at any step (the
        paper's code), "last"
            those after the last step.
        landscape_at: landscape to use at each step instead, for stochastic gradients.
        on_step: called after each step with its number and the mean over the pairs of the summed
        losses.

    Raises:
        ValueError: the ends differ in shape, or a setting is out of range.
    """
    if starts.shape != ends.shape or starts.dim() != 2:
        raise ValueError(
            f"starts {tuple(starts.shape)} and ends {tuple(ends.shape)} must both be [S, P]"
        )
    if terms < 1 or points < 2 or steps < 1:
        raise ValueError("a path needs at least 1 term, 2 points and 1 step")
    if keep not in ("lowest", "last"):
        raise ValueError(f'keep must be "lowest" or "last", not {keep!r}')

    pairs, dimension = starts.shape
    basis = path_basis(points, terms).to(dtype=starts.dtype, device=starts.device)
    step_basis = basis.diff(dim=0)
    # sum_m |w(t_m+1) - w(t_m)|^2 = trace(V' Q V) for the vectors V = (start, end, b_1 ... b_N)
    penalty_matrix = step_basis.T @ step_basis
    ends_vectors = torch.stack([starts, ends], dim=1)
    coefficients = starts.new_zeros(pairs, terms, dimension)
    adam = torch.optim.Adam([coefficients], lr=learning_rate)
    step_losses = torch.empty(pairs, steps, dtype=torch.float64, device=starts.device)
    best_losses = torch.full((pairs,), torch.inf, dtype=torch.float64, device=starts.device)
    best = coefficients.clone()

    def vectors() -> Tensor:
        return torch.cat([ends_vectors, coefficients], dim=1)

    for step in range(steps):
        at = landscape if landscape_at is None else landscape_at(step)
        losses, gradients = at.combination(vectors()).losses_and_gradients(basis)
        step_losses[:, step] = losses.sum(dim=1)
        if keep == "lowest":
            _keep_lowest(step_losses[:, step], coefficients, best_losses, best)
        penalty_gradients = 2.0 * penalty * torch.matmul(penalty_matrix[2:], vectors())
        coefficients.grad = gradients[:, 2:] + penalty_gradients
        adam.step()
        if on_step is not None:
            on_step(step, step_losses[:, step].mean())
    if keep == "lowest":
        at = landscape if landscape_at is None else landscape_at(steps)
        _keep_lowest(
            at.combination(vectors()).losses(basis).sum(dim=1), coefficients, best_losses, best
        )
        coefficients = best
    return Paths(starts, ends, coefficients, step_losses)


def find_path(landscape: Landscape, start: Tensor, end: Tensor, **settings: object) -> "Path":
    """Low-loss path between two points [P]; settings as for `find_paths`."""
    return Path(find_paths(landscape, start[None], end[None], **settings))  # type: ignore[arg-type]


@dataclass
class Path:
    """One Fourier path: `Paths` without the leading dimension."""

    paths: Paths

    @property
    def coefficients(self) -> Tensor:
        """Fourier coefficients b_n, [N, P]."""
        return self.paths.coefficients[0]

    @property
    def step_losses(self) -> Tensor:
        """Summed loss over the path before each optimisation step, [steps]."""
        return self.paths.step_losses[0]

    def points(self, count: int) -> Tensor:
        """Points at `count` equally spaced t from 0 to 1, [count, P]."""
        return self.paths.points(count)[0]

    def losses(self, landscape: Landscape, count: int) -> Tensor:
        """Losses at `count` equally spaced t from 0 to 1, [count], float64."""
        return self.paths.losses(landscape, count)[0]

    def height(self, landscape: Landscape, count: int) -> float:
        """Path height H, the largest loss at `count` equally spaced t (Eq. 5)."""
        return self.losses(landscape, count).max().item()

    def length(self, count: int) -> float:
        """Euclidean length of the polygon through `count` equally spaced t."""
        return self.paths.lengths(count)[0].item()

    def straight(self) -> "Path":
        """The straight line between the same ends."""
        return Path(self.paths.straight())


def _keep_lowest(losses: Tensor, coefficients: Tensor, best_losses: Tensor, best: Tensor) -> None:
    """Update in place the lowest losses [S] and the coefficients [S, N, P] they belong to."""
    lower = losses < best_losses
    best_losses.copy_(torch.where(lower, losses, best_losses))
    best.copy_(torch.where(lower[:, None, None], coefficients, best))
