"""Recording of optimization paths: how each step lies to the point where its training ends.

A training runs twice alike. The first pass finds the end w*, the second measures every step
against it (Guille-Escuret et al., "No Wrong Turns", arXiv 2306.11922, Algorithm 1). `ratios.py`
makes of the records what is shown. Inner products are taken in float64.
"""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from topography.errors import TopographyError
from topography.objective import Objective
from topography.optimizers.base import Observer, Optimizer, Step
from topography.ratios import Records, quotient
from topography.training import Training, train

# Relative distance between the ends of two identical trainings. Operations on a CPU are repeated
# exactly; on a GPU the order of some sums is left to chance.
TOLERANCE = {"cpu": 0.0, "cuda": 1e-3}


class GeometryError(TopographyError):
    """A recording does not hold what it should."""


class Recorder:
    """Measures every step of S trainings against R reference points of each of them."""

    def __init__(self, references: Tensor) -> None:
        """references: [S, R, P]."""
        self.references = references.double()
        self._steps: list[dict[str, Tensor]] = []

    def __call__(self, step: Step) -> None:
        params = step.params.double()
        gradients, updates = step.gradients.double(), step.updates.double()
        differences = params[:, None] - self.references  # d, [S, R, P]
        measured = {
            "loss": step.losses,
            "learning_rate": step.learning_rates,
            "gradient_norm": gradients.norm(dim=1),
            "update_norm": updates.norm(dim=1),
            "distance": differences.norm(dim=2),
            "gradient_product": _dot(gradients, differences),
            "update_product": _dot(updates, differences),
        }
        if step.weight_decay:
            decayed = gradients + step.weight_decay * params
            measured |= {
                "decayed_gradient_norm": decayed.norm(dim=1),
                "decayed_gradient_product": _dot(decayed, differences),
            }
        self._steps.append(measured)

    def records(self) -> Records:
        """What was measured, float64: [S, T], and where a reference takes part [S, R, T].

        Raises:
            GeometryError: no step was observed.
        """
        if not self._steps:
            raise GeometryError(
                "The optimizer reported no step. Let its run_epoch call self.observer with a Step "
                "before each step, where an observer is set; see optimizers/base.py."
            )
        return {
            name: torch.stack([step[name] for step in self._steps], dim=-1).double().cpu().numpy()
            for name in self._steps[0]
        }


def _dot(vectors: Tensor, differences: Tensor) -> Tensor:
    """Inner products [S, R] of vectors [S, P] and differences [S, R, P]."""
    return torch.bmm(differences, vectors.unsqueeze(2)).squeeze(2)


class Probes:
    """Gradients of fixed sets of images, measured at every `interval`-th point of a trajectory."""

    def __init__(
        self,
        objectives: Mapping[str, tuple[Objective, list[Tensor]]],
        references: Tensor,
        interval: int,
    ) -> None:
        """objectives: what to take gradients of, by name, with the indices [n] of each minibatch;
        references: [S, P].
        """
        self.objectives = objectives
        self.references = references.double()
        self.interval = interval
        self._step = 0
        self._rows: list[pd.DataFrame] = []

    def __call__(self, step: Step) -> None:
        if self._step % self.interval == 0:
            differences = step.params.double() - self.references
            for name, (objective, minibatches) in self.objectives.items():
                for number, indices in enumerate(minibatches):
                    gradients = objective.minibatch_losses_and_gradients(
                        step.params, indices.expand(len(step.params), -1)
                    )[1].double()
                    self._rows.append(
                        pd.DataFrame(
                            {
                                "iteration": self._step,
                                "probe": name,
                                "batch_size": len(indices),
                                "minibatch": number,
                                "row": range(len(step.params)),
                                "gradient_norm": gradients.norm(dim=1).cpu(),
                                "distance": differences.norm(dim=1).cpu(),
                                "product": (gradients * differences).sum(1).cpu(),
                            }
                        )
                    )
        self._step += 1

    def table(self) -> pd.DataFrame:
        """One row per observed point, minibatch and training (`row`), with the cosine."""
        table = pd.concat(self._rows, ignore_index=True)
        return table.assign(
            cosine=quotient(table["product"], table["gradient_norm"] * table["distance"])
        )


def train_to_the_end(
    train_objective: Objective,
    test_objective: Objective,
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor,
) -> Training:
    """As `train`, for trainings whose last params [S, P] are to be reference points.

    Raises:
        GeometryError: a training diverged.
    """
    training = train(train_objective, test_objective, optimizer, seeds, params)
    if training.failures:
        raise GeometryError(
            f"A training has no end to measure from: {training.failures}. Lower its learning rate."
        )
    return training


def record_twice(
    train_objective: Objective,
    test_objective: Objective,
    optimizer: Optimizer,
    seeds: list[int],
    params: Tensor,
    observers: Callable[[Tensor], Sequence[Observer]],
) -> Training:
    """Train twice alike from params [S, P], the second time observed.

    observers: makes the observers once the end [S, P] is known.

    Raises:
        GeometryError: a training diverged, or the second pass did not end where the first did.
    """
    optimizer.observer = None
    first = train_to_the_end(train_objective, test_objective, optimizer, seeds, params)
    watching = observers(first.params)

    def observe(step: Step) -> None:
        for observer in watching:
            observer(step)

    optimizer.observer = observe
    try:
        second = train_to_the_end(train_objective, test_objective, optimizer, seeds, params)
    finally:
        optimizer.observer = None
    travelled = (first.params - params).norm(dim=1)
    deviations = (second.params - first.params).norm(dim=1)
    tolerance = TOLERANCE[params.device.type]
    astray = ~(deviations <= tolerance * travelled)
    if astray.any():
        raise GeometryError(
            f"The second pass ended {(deviations / travelled)[astray].max().item():.1e} of the way "
            f"from the end of the first, allowed is {tolerance:.0e}. Nothing of it can be trusted; "
            "look for operations that do not give the same numbers each time."
        )
    return first
