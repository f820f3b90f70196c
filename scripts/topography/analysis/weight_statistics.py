"""How far the solutions spread in the space of weights (section III.3 of the paper)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from topography.errors import TopographyError

# The two sets whose centroids define the common origin.
ORIGIN_SETS = ("lbfgs_test", "sgd_test")


class WeightError(TopographyError):
    """Sets of weights are missing or do not belong together."""


def statistics_table(weights: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Mean and standard deviation over all components of each set (Table S1).

    The vectors of a set are concatenated; the standard deviation is that of the population. Sums
    are in float64: the mean is a thousandth of the spread.

    Args:
        weights: set -> float32 [keep, P].

    Returns:
        One row per set: ``set``, ``mean``, ``standard_deviation``, ``components`` = keep * P,
        ``parameters`` = P.
    """
    rows = [
        {
            "set": name,
            "mean": vectors.mean(dtype=np.float64),
            "standard_deviation": vectors.std(dtype=np.float64),
            "components": vectors.size,
            "parameters": vectors.shape[1],
        }
        for name, vectors in weights.items()
    ]
    return pd.DataFrame(rows)


def moments_of_runs(weights: np.ndarray) -> np.ndarray:
    """Mean and mean square [n, 2] of the weights [n, P] of each run of a set, in float64."""
    weights = weights.astype(np.float64)
    return np.stack([weights.mean(axis=1), np.square(weights).mean(axis=1)], axis=1)


def length_tables(
    sets: Mapping[str, Mapping[str, np.ndarray]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distances from the common origin (Figs. 5, S3).

    The origin is the midpoint of the centroids of the two test sets, which are therefore equally
    far from it.

    Args:
        sets: set -> ``weights`` [keep, P] and ``seeds`` [keep]; ``ORIGIN_SETS`` among them.

    Returns:
        Lengths (``set``, ``seed``, ``length`` = |w - origin|) and centroid distances (``set``,
        ``distance``), all L2 norms.

    Raises:
        WeightError: a set is missing or the sets are not of one architecture.
    """
    require_comparable(sets, ORIGIN_SETS)
    vectors = {name: content["weights"].astype(np.float64) for name, content in sets.items()}
    centroids = {name: vectors[name].mean(axis=0) for name in ORIGIN_SETS}
    origin = sum(centroids.values()) / len(centroids)
    lengths = [
        pd.DataFrame(
            {
                "set": name,
                "seed": content["seeds"],
                "length": np.linalg.norm(vectors[name] - origin, axis=1),
            }
        )
        for name, content in sets.items()
    ]
    distances = [
        {"set": name, "distance": np.linalg.norm(centroid - origin)}
        for name, centroid in centroids.items()
    ]
    return pd.concat(lengths, ignore_index=True), pd.DataFrame(distances)


def require_comparable(
    sets: Mapping[str, Mapping[str, np.ndarray]], needed: tuple[str, ...]
) -> None:
    """Check that the needed sets are there and that all sets have vectors of one length.

    Raises:
        WeightError: they are not.
    """
    missing = [name for name in needed if name not in sets]
    if missing:
        raise WeightError(
            f"The sets {missing} are needed, but only {sorted(sets)} were given. "
            "Add their files {set}.safetensors to --sets."
        )
    sizes = {name: content["weights"].shape[1] for name, content in sets.items()}
    if len(set(sizes.values())) > 1:
        raise WeightError(
            f"The sets have vectors of different lengths, {sizes}. "
            "Give the sets of one architecture only."
        )
