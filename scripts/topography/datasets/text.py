"""Any text file, its characters as tokens: give the file itself as data source."""

import hashlib
from pathlib import Path

from topography.datasets import Dataset, DatasetError
from topography.datasets._text import characters

READS_OWN_FILES = True
TEST_FRACTION = 0.1


def load(folder: Path, source: str) -> Dataset:
    """Load the text file that ``source`` names, UTF-8; ``folder`` has no effect."""
    try:
        text = Path(source).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"Cannot read {source} as a text: {error}. Give the path of a text file in UTF-8 as "
            "data source."
        ) from error
    provenance = {"sha256 of text": hashlib.sha256(text.encode()).hexdigest()}
    return characters(text, TEST_FRACTION, provenance)
