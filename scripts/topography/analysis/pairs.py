"""Random pairs of solutions (section III.2: 300 random pairs of each set)."""

import numpy as np
import pandas as pd

from topography.errors import TopographyError


class PairsError(TopographyError):
    """A set has no pairs."""


def pair_table(seeds: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """All pairs of a set in one uniformly random order.

    A sample of n distinct pairs is the first n rows, so a larger sample contains the smaller one.

    Args:
        seeds: int64 [keep], seeds of the networks of the set.
        generator: source of the order.

    Returns:
        keep (keep - 1) / 2 rows: ``pair`` (0, 1, ...), ``i`` < ``j`` (rows of the set) and their
        seeds ``seed_i``, ``seed_j``.

    Raises:
        PairsError: the set has fewer than two networks.
    """
    if len(seeds) < 2:
        raise PairsError(
            f"A set of {len(seeds)} network (seeds {seeds.tolist()}) has no pairs. "
            "Set selection.keep to 2 or more."
        )
    first, second = np.triu_indices(len(seeds), k=1)
    order = generator.permutation(len(first))
    i, j = first[order], second[order]
    return pd.DataFrame(
        {"pair": np.arange(len(order)), "i": i, "j": j, "seed_i": seeds[i], "seed_j": seeds[j]}
    )


def apart(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Order [S] of pairs in which the first ones share as few networks as they can.

    In rounds: each takes, in the order given, the pairs that share no network with one that the
    round has taken before. Of all pairs of n networks the first n / 2 then share none. A mean over
    few pairs thus rests on many networks.

    i, j: the two networks of each pair [S].
    """
    order: list[int] = []
    waiting = list(range(len(i)))
    while waiting:
        taken: set[int] = set()
        later = []
        for number in waiting:
            networks = {int(i[number]), int(j[number])}
            if taken & networks:
                later.append(number)
            else:
                taken |= networks
                order.append(number)
        waiting = later
    return np.array(order)
