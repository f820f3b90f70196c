"""The descriptions of the datasets that come with scikit-learn: a small English text, no download.

43,000 characters, each a token, so that a language model can be trained anywhere.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

from topography.datasets import Dataset
from topography.datasets._text import characters

TEST_FRACTION = 0.15


def load(folder: Path, source: str) -> Dataset:
    """Load the text; ``folder`` and ``source`` have no effect, it is part of scikit-learn."""
    pages = sorted(
        (page for page in files("sklearn.datasets.descr").iterdir() if page.name.endswith(".rst")),
        key=lambda page: page.name,
    )
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    provenance = {"sha256 of text": hashlib.sha256(text.encode()).hexdigest()}
    return characters(text, TEST_FRACTION, provenance)
