"""Barriers between solutions, read off the optimised paths (Eq. 5 of the paper)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from topography.errors import TopographyError

PAIR_COLUMNS = ("pair", "i", "j", "seed_i", "seed_j")
PATH_SHAPES = {
    "pairs": ["S", 2],
    "t": ["M"],
    "losses": ["S", "M"],
    "fine_t": ["F"],
    "fine_losses": ["S", "F"],
    "straight_losses": ["S", "M"],
    "step_losses": ["S", "K"],
    "lengths": ["S"],
    "straight_lengths": ["S"],
}


class BarrierError(TopographyError):
    """The path files do not fit the pairs file, or hold unusable losses."""


def collect(pairs: pd.DataFrame, paths: Mapping[Path, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """One row per path, in the order of the pairs file.

    Args:
        pairs: the pairs file.
        paths: content of each path file (see ``PATH_SHAPES``).

    Returns:
        The pair, the losses at its ends (``start`` is network i at t = 1, ``end`` network j at
        t = 0, Eq. 3), and its heights: ``height`` over the points the path was optimised on
        (Eq. 5), ``fine_height`` over the fine grid, ``barrier`` by which the latter exceeds the
        larger loss of the two ends, ``straight_height`` over as many points of the straight line as
        ``height``; path lengths.

    Raises:
        BarrierError: a path belongs to no pair, a pair has two paths, the paths are not those of
            the first rows of the pairs file, or a loss or length is not finite, also one of a step
            (with ``paths.keep: lowest`` the path may be one from before that step).
    """
    rows = pd.concat(
        [_barriers_of_file(file, content) for file, content in paths.items()], ignore_index=True
    )
    found = rows.merge(pairs, on=["i", "j"], how="left", validate="many_to_one")
    _require_first_pairs(found)
    _require_finite(found)
    measured = [name for name in rows.columns if name not in ("file", "i", "j", "step_losses")]
    return found.sort_values("pair").astype({"pair": int, "seed_i": int, "seed_j": int})[
        [*PAIR_COLUMNS, *measured]
    ]


def _barriers_of_file(file: Path, content: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Heights and lengths of the paths of one file."""
    return pd.DataFrame(
        {
            "file": str(file),
            "i": content["pairs"][:, 0],
            "j": content["pairs"][:, 1],
            "start_loss": content["losses"][:, np.argmax(content["t"])],
            "end_loss": content["losses"][:, np.argmin(content["t"])],
            # numpy's maximum hands a NaN on, so that a broken path cannot look like a low one
            "height": content["losses"].max(axis=1),
            "fine_height": content["fine_losses"].max(axis=1),
            "barrier": _above_the_ends(content["fine_losses"]),
            "straight_height": content["straight_losses"].max(axis=1),
            "step_losses": content["step_losses"].sum(axis=1),  # only to see whether all are finite
            "path_length": content["lengths"],
            "straight_length": content["straight_lengths"],
        }
    )


def _above_the_ends(losses: np.ndarray) -> np.ndarray:
    """By how much the largest loss along each path [S, F] exceeds that of its higher end, [S]."""
    return losses.max(axis=1) - np.maximum(losses[:, 0], losses[:, -1])


def _require_first_pairs(found: pd.DataFrame) -> None:
    """Check that the paths are those of pairs 0, 1, ..., each once."""
    strangers = found[found["pair"].isna()]
    if len(strangers):
        path = strangers.iloc[0]
        raise BarrierError(
            f"{path['file']} holds a path between networks {path['i']} and {path['j']}, which is "
            "no pair of the pairs file. The set has changed since; delete its path files and run "
            "the workflow again."
        )
    repeated = found[found["pair"].duplicated(keep=False)]
    if len(repeated):
        raise BarrierError(
            f"Pair {int(repeated.iloc[0]['pair'])} has more than one path, in "
            f"{', '.join(sorted(set(repeated['file'])))}. Give path files that do not overlap."
        )
    missing = sorted(set(range(len(found))) - set(found["pair"].astype(int)))
    if missing:
        raise BarrierError(
            f"{len(found)} paths were given, but among the first {len(found)} pairs of the pairs "
            f"file these have none: {missing[:10]}. Give the path files from pair 0 on, without "
            "a gap."
        )


def _require_finite(found: pd.DataFrame) -> None:
    """Refuse NaN and infinity: a histogram would silently leave them out."""
    numbers = found.select_dtypes("number")
    broken = found[~np.isfinite(numbers.to_numpy(float)).all(axis=1)]
    if len(broken):
        path = broken.iloc[0]
        columns = [name for name in numbers.columns if not np.isfinite(path[name])]
        raise BarrierError(
            f"The path of pair {int(path['pair'])} (networks {path['i']} and {path['j']}) in "
            f"{path['file']} has NaN or infinite {', '.join(columns)}. Lower paths.learning_rate, "
            "delete the file and find the path again."
        )
