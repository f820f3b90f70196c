"""Does the paper's ordering of barriers survive when paths are searched on until they settle?

Our own addition: the paper stops at 100 steps. It finds SGD solutions separated by lower barriers
than those of L-BFGS. Here the same question is asked at the paper's effort and of the lowest path
found at any effort, for the heights and for the barriers above the ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from topography import claims, storage
from topography.agreement import FEWEST_RUNS, run_weights
from topography.errors import TopographyError
from topography.naming import (
    CHECKPOINTS,
    architecture_label,
    by_folder_and_stem,
    split_set,
)

Tables = Mapping[tuple[str, str], pd.DataFrame]

COLUMNS = ("pair", "i", "j", "terms", "steps", "start_loss", "end_loss", "height", "fine_height")
KEYS = ["pair", "i", "j", "terms", "steps"]
MEASURES = ("height", "barrier")
SURVIVES, VANISHES, REVERSES = "survives", "vanishes", "reverses"
# A gap that shrinks to less than this fraction of that at the paper's effort has vanished.
NEGLIGIBLE = 0.1


class ConvergenceError(TopographyError):
    """The tables of converged paths cannot be used."""


def read_searches(files: list[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """Tables of searches by architecture and set, with the ``barrier`` above the higher end.

    files: ``{architecture}/{set}.csv``. ``height`` becomes that on the fine grid.

    Raises:
        StorageError: a file is missing or damaged.
        ConvergenceError: a height is not finite.
    """
    tables = {}
    for names, file in by_folder_and_stem(files).items():
        table = storage.read_table(file, list(COLUMNS))
        if not np.isfinite(table.to_numpy(float)).all():
            raise ConvergenceError(
                f"{file} has a loss that is not finite. Lower paths.learning_rate, delete the file "
                "and search again."
            )
        ends = table[["start_loss", "end_loss"]].max(axis=1)
        tables[names] = table[KEYS].assign(
            height=table["fine_height"], barrier=table["fine_height"] - ends
        )
    return tables


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Rows for all steps of all pairs: a path that has settled keeps its last height."""
    wide = table.pivot(index=["pair", "i", "j", "terms"], columns="steps", values=list(MEASURES))
    filled = wide.stack(future_stack=True).unstack("steps")
    filled = filled.ffill(axis=1)
    return filled
