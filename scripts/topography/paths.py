"""FourierPathFinder: low-loss paths between two points of any landscape (paper, Sec. II.3).

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
from functools import cached_property

import torch
from torch import Tensor

from topography.landscape import Landscape

# landscape_at(step) -> the landscape whose gradient step `step` follows, such as a fresh sample of
# images
LandscapeAt = Callable[[int], Landscape]

# Step n of N counts in a mean path in proportion to some (n / N)^8, the polynomial-decay averaging
# of Shamir & Zhang (2013): mostly the last quarter does, however long the search.
AVERAGING_POWER = 8


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
        """Losses at `count` equally spaced t from 0 to 1, [S, count]; their maximum is Eq. 5."""
        return landscape.combination(self._vectors()).losses(self._basis(count))

    def losses_on_grids(
        self, landscape: Landscape, points: int, fine_points: int
    ) -> tuple[Tensor, Tensor]:
        """`losses` at so many points, and at more of them; a fine grid often holds the coarse."""
        fine = self.losses(landscape, fine_points)
        stride, remainder = divmod(fine_points - 1, points - 1)
        return fine[:, ::stride] if remainder == 0 else self.losses(landscape, points), fine

    def lengths(self, count: int) -> Tensor:
        """Euclidean lengths [S] of the polygons through `count` equally spaced t."""
        differences = self._basis(count).diff(dim=0)
        lengths = [  # one after another, since the points of a path are many vectors
            (differences @ vectors).norm(dim=1).double().sum() for vectors in self._vectors()
        ]
        return torch.stack(lengths) if lengths else self.starts.new_zeros(0, dtype=torch.float64)

    def straight(self) -> "Paths":
        """The straight lines between the same ends: no Fourier terms."""
        no_terms = self.coefficients[:, :0]
        return Paths(self.starts, self.ends, no_terms, self.step_losses[:, :0])

    def _vectors(self) -> Tensor:
        return torch.cat([self.starts[:, None], self.ends[:, None], self.coefficients], dim=1)

    def _basis(self, count: int) -> Tensor:
        like = self.coefficients
        return path_basis(count, like.shape[1]).to(dtype=like.dtype, device=like.device)


def equally_spaced(points: int) -> Tensor:
    """Values of t from 0 to 1, float64, [points]."""
    return torch.linspace(0.0, 1.0, points, dtype=torch.float64)


def path_basis(points: int, terms: int) -> Tensor:
    """`basis_at` equally spaced t from 0 to 1, [points, 2 + N]."""
    return basis_at(equally_spaced(points), terms)


def basis_at(t: Tensor, terms: int) -> Tensor:
    """Weights of (start, end, b_1 ... b_N) at t [M], float64, in [0, 1]: [M, 2 + N]."""
    orders = torch.arange(1, terms + 1, dtype=torch.float64)
    waves = torch.sin(math.pi * t[:, None] * orders)
    waves[t == 1.0] = 0.0  # sin(n pi) is not exactly 0 in floating point; the path ends at its end
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
            paper's code), "last" those after the last step, "mean" their mean over mostly the last
            quarter of the steps, which the noise of stochastic gradients hardly reaches.
        landscape_at: landscape to use at each step instead, for stochastic gradients. Losses of
            different landscapes cannot be compared, so keep must not be "lowest".

    Raises:
        ValueError: the ends differ in shape or type, or are not finite, or a setting is out of
            range.
    """
    search = PathSearch(
        landscape,
        starts,
        ends,
        terms=terms,
        points=points,
        penalty=penalty,
        steps=steps,
        learning_rate=learning_rate,
        keep=keep,
        landscape_at=landscape_at,
    )
    while search.step < steps:
        search.advance()
    return search.paths()


class PathSearch:
    """The search of `find_paths`, a step at a time, to be left and gone on with where it was."""

    def __init__(
        self,
        landscape: Landscape,
        starts: Tensor,
        ends: Tensor,
        *,
        terms: int,
        points: int,
        penalty: float,
        steps: int,
        learning_rate: float,
        keep: str,
        landscape_at: LandscapeAt | None = None,
    ) -> None:
        """Arguments and errors as for `find_paths`."""
        if starts.shape != ends.shape or starts.dim() != 2:
            raise ValueError(
                f"starts {tuple(starts.shape)} and ends {tuple(ends.shape)} must both be [S, P], "
                "of equal size: solutions of one architecture"
            )
        if starts.dtype != ends.dtype or not starts.is_floating_point():
            raise ValueError(
                f"starts ({starts.dtype}) and ends ({ends.dtype}) must have one floating-point type"
            )
        if not (starts.isfinite().all() and ends.isfinite().all()):
            raise ValueError("starts or ends hold NaN or infinity")
        if terms < 1 or points < 3 or steps < 1:
            raise ValueError("a path needs at least 1 term, 3 points and 1 step")
        if not learning_rate > 0 or not penalty >= 0:
            raise ValueError("learning_rate must be above 0 and penalty at least 0")
        if keep not in ("lowest", "last", "mean"):
            raise ValueError(f'keep must be "lowest", "last" or "mean", not {keep!r}')
        if keep == "lowest" and landscape_at is not None:
            raise ValueError(
                'keep must be "last" or "mean" where each step has a landscape of its own'
            )
        self.landscape, self.landscape_at = landscape, landscape_at
        # A vector of a module's parameters asks for gradients, of which a search needs none.
        self.starts, self.ends = starts.detach(), ends.detach()
        self.points, self.penalty, self.keep = points, penalty, keep
        pairs, dimension = starts.shape
        self.adam = Adam(starts.new_zeros(pairs, terms, dimension), learning_rate)
        self.kept = self.adam.values if keep == "last" else self.adam.values.clone()
        self.step_losses = torch.full(
            (pairs, steps), torch.nan, dtype=torch.float64, device=starts.device
        )

    @property
    def step(self) -> int:
        """Steps made."""
        return self.adam.steps

    @cached_property
    def _end_losses(self) -> Tensor:
        """Losses of the two ends, summed, [S]; all steps on one landscape have them in common."""
        ends = self.landscape.combination(torch.stack([self.starts, self.ends], dim=1))
        return ends.losses(self.starts.new_ones(2).diag()).sum(dim=1)

    def advance(self) -> Tensor:
        """Make a step; returns the losses [S] before it, summed over the points of each path.

        Raises:
            ValueError: all steps have been made.
        """
        step, coefficients = self.step, self.adam.values
        if step == self.step_losses.shape[1]:
            raise ValueError(f"all {step} steps have been made; start a search with more steps")
        path = self.starts, self.ends, coefficients, self.points, self.penalty
        if self.landscape_at is None:
            losses, gradients = path_losses_and_gradients(self.landscape, *path)
            losses += self._end_losses
        else:
            at, everywhere = self.landscape_at(step), equally_spaced(self.points)
            losses, gradients = path_losses_and_gradients(at, *path, losses_at=everywhere)
        self.step_losses[:, step] = losses
        if self.keep == "lowest":
            lower = losses <= self.step_losses[:, : step + 1].amin(dim=1)
            # A path that has no losses left is none of those before it either.
            lower |= losses.isnan()
            self.kept = torch.where(lower[:, None, None], coefficients, self.kept)
        self.adam.step(gradients)
        if self.keep == "mean":
            self.kept.lerp_(coefficients, weight_in_mean(step))
        return losses

    def paths(self) -> Paths:
        """The paths to keep after the steps made, which further steps leave as they are."""
        kept, step_losses = self.kept, self.step_losses
        if self.step < step_losses.shape[1]:  # after the last step nothing changes them
            kept, step_losses = kept.clone(), step_losses.clone()
        return Paths(self.starts, self.ends, kept, step_losses)

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs to go on from here: copies on the CPU, a row [S, ...] per pair."""
        state = {name: tensor.to("cpu", copy=True) for name, tensor in self._tensors().items()}
        return {**state, "step": torch.full((len(self.starts),), self.step)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from the rows of these pairs in a state, whichever pairs shared their search. This
        may have more steps than theirs had.

        Raises:
            ValueError: the rows are not as many as the pairs, or not all of the same step; or they
                are of another number of terms or type, of a search that does not keep what this one
                keeps, or at a step beyond the last one here.
        """
        if len(state["step"]) != len(self.starts) or len(state["step"].unique()) != 1:
            raise ValueError(f"{len(self.starts)} pairs cannot go on from steps {state['step']}")
        step = int(state["step"][0])
        own = {name: tensor for name, tensor in self._tensors().items() if name != "step_losses"}
        for name, tensor in own.items():
            if name not in state:
                raise ValueError(f"the state is not that of a search with keep={self.keep!r}")
            theirs = state[name]
            if (theirs.shape, theirs.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(
                    f"{name} of the state are {list(theirs.shape)}, {theirs.dtype}, here "
                    f"{list(tensor.shape)}, {tensor.dtype}"
                )
        if step > self.step_losses.shape[1]:
            raise ValueError(f"the state is at step {step} of {self.step_losses.shape[1]}")
        self.adam.steps = step
        for name, tensor in own.items():
            tensor.copy_(state[name])
        self.step_losses[:, :step] = state["step_losses"][:, :step]

    def _tensors(self) -> dict[str, Tensor]:
        """What a step changes, [S, ...]."""
        return {
            "coefficients": self.adam.values,
            "gradient_mean": self.adam.mean,
            "gradient_square": self.adam.square,
            "step_losses": self.step_losses,
            # By its kind, since a mean cannot go on from the lowest.
            **({} if self.keep == "last" else {self.keep: self.kept}),
        }


def weight_in_mean(step: int) -> float:
    """What a step, counted from 0, weighs in the mean path beside all steps before it."""
    return (AVERAGING_POWER + 1) / (AVERAGING_POWER + 1 + step)


def path_losses_and_gradients(
    landscape: Landscape,
    starts: Tensor,
    ends: Tensor,
    coefficients: Tensor,
    points: int,
    penalty: float,
    losses_at: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Summed losses [S] over the points of the paths between their ends, and the gradients
    [S, N, P] of Eq. 4, to which the ends contribute nothing: no coefficient moves them.

    The gradients include the penalty, the summed losses do not. Arguments as for `find_paths`;
    coefficients: [S, N, P].

    losses_at: values of t [K], float64, where losses are taken instead; points / K times their sum
        stands for that over the points of the path, ends included.
    """
    terms = coefficients.shape[1]
    vectors = torch.cat([starts[:, None], ends[:, None], coefficients], dim=1)
    basis = path_basis(points, terms).to(vectors)
    mixing, share = basis[1:-1], 1.0
    if losses_at is not None:
        mixing, share = basis_at(losses_at, terms).to(vectors), points / len(losses_at)
    losses, gradients = landscape.combination(vectors).losses_and_gradients(mixing, fixed=2)
    # sum_m |w(t_m+1) - w(t_m)|^2 = trace(V' Q V), Q = D' D, for D the differences of the basis
    differences = basis.diff(dim=0)
    quadratic = differences.T @ differences
    penalty_gradients = torch.matmul((2.0 * penalty) * quadratic[2:], vectors)
    return share * losses.sum(dim=1), penalty_gradients.add_(gradients, alpha=share)


def find_path(landscape: Landscape, start: Tensor, end: Tensor, **settings: object) -> "Path":
    """Low-loss path between two points [P]; settings and errors as for `find_paths`."""
    if start.dim() != 1 or end.dim() != 1:
        raise ValueError(
            f"start {tuple(start.shape)} and end {tuple(end.shape)} must both be single points [P]"
        )
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


class Adam:
    """Adam (Kingma & Ba, 2014, Algorithm 1) on one tensor, in place.

    The same steps as torch.optim.Adam, whose constructor takes seconds to import a compiler that
    is not used here.
    """

    MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        self.values = values
        self.learning_rate = learning_rate
        self.steps = 0
        self.mean = torch.zeros_like(values)
        self.square = torch.zeros_like(values)

    def step(self, gradients: Tensor) -> None:
        self.steps += 1
        self.mean.lerp_(gradients, 1.0 - self.MEAN_DECAY)
        self.square.mul_(self.SQUARE_DECAY)
        self.square.addcmul_(gradients, gradients, value=1.0 - self.SQUARE_DECAY)
        scale = (1.0 - self.SQUARE_DECAY**self.steps) ** 0.5
        denominator = self.square.sqrt().div_(scale).add_(self.EPSILON)
        step_size = self.learning_rate / (1.0 - self.MEAN_DECAY**self.steps)
        self.values.addcdiv_(self.mean, denominator, value=-step_size)
