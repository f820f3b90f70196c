"""WikiText-2 (Merity et al. 2016): two million words of Wikipedia, each a token.

The address it was published at is dead. The checksum of the archive decides whether a mirror's, or
one's own, copy is the same.
"""

import io
import zipfile
from pathlib import Path

from topography.datasets import Dataset, DatasetError
from topography.datasets._published import PublishedFile, content_of
from topography.datasets._text import as_dataset

MIRRORS = (
    "https://wikitext.smerity.com/",
    "https://s3.amazonaws.com/research.metamind.io/wikitext/",
)
FILE = PublishedFile("wikitext-2-v1", "542ccefacc6c27f945fb54453812b3cd", suffix=".zip")
TRAIN, TEST = "wikitext-2/wiki.train.tokens", "wikitext-2/wiki.test.tokens"
END_OF_LINE = "<eos>"


def load(folder: Path, source: str) -> Dataset:
    """Load WikiText-2 from its mirrors or from ``source``; see ``topography.datasets``."""
    return read_archive(content_of(FILE, MIRRORS, folder, source))


def read_archive(content: bytes) -> Dataset:
    """Dataset in the zip archive: words between spaces, and a token at the end of each line.

    Raises:
        DatasetError: it is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            train, test = (archive.read(name).decode() for name in (TRAIN, TEST))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{FILE.archive} is damaged or another file: {error}. Replace it by an unharmed copy."
        ) from error
    return as_dataset(_words(train), _words(test), {"md5 of archive": FILE.archive_md5})


def _words(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in (*line.split(), END_OF_LINE)]
