"""Loss curves of the trained networks."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from topography import storage


def read_histories(files: Sequence[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """Loss curves per architecture and optimizer, the seeds of all their jobs together.

    Args:
        files: ``{architecture}/{optimizer}/seeds_{first}-{last}.history.csv``.

    Raises:
        StorageError: a file is missing or damaged.
    """
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for file in files:
        names = (file.parent.parent.name, file.parent.name)
        table = storage.read_table(file, ["seed", "epoch", "train_loss", "test_loss"])
        parts.setdefault(names, []).append(table)
    return {names: pd.concat(tables, ignore_index=True) for names, tables in parts.items()}
