"""Published files, fetched by torchvision's downloader and checked.

What arrives is checked before it is read: downloads and files of unknown content by the MD5 of the
archive, all others by the SHA-256 of the uncompressed content. Files in a user's own folder are
never changed. In our own download folder a damaged archive is removed, and each run checks all
archives again, so that a broken download is fetched anew.
"""

import gzip
import hashlib
import socket
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError
from urllib.parse import urlsplit

from torchvision.datasets.utils import download_url

from topography.datasets import DatasetError
from topography.storage import FULL_OR_FAILING_DISK, cannot_write

STALLED_AFTER = 60.0  # seconds without an answer after which a mirror counts as dead


@dataclass(frozen=True)
class PublishedFile:
    """A file of a dataset: its name without suffix, and the checksums known of it.

    suffix: of the archive; only .gz is unpacked. sha256: of the content.
    """

    name: str
    archive_md5: str
    sha256: str | None = None
    suffix: str = ".gz"

    @property
    def archive(self) -> str:
        return f"{self.name}{self.suffix}"


# Where the files come from ------------------------------------------------------------------------


def content_of(file: PublishedFile, mirrors: Sequence[str], folder: Path, source: str) -> bytes:
    """Checked content of a file, unpacked if it is gzipped.

    Args:
        file: name and checksums.
        mirrors: addresses tried in turn when ``source`` is ``download``; only https is used.
        folder: where downloaded archives are kept.
        source: ``download``, a local folder, or the ``file://`` or ``https://`` address of a
            mirror.

    Raises:
        DatasetError: the source is not one of these, or the file is missing or damaged.
        StorageError: ``folder`` cannot be written.
    """
    address = urlsplit(source)
    if source == "download":
        return _downloaded(file, mirrors, folder)
    if address.scheme == "https":
        return _downloaded(file, [source], folder)
    if address.scheme == "file" and address.netloc in ("", "localhost"):
        return _local(file, Path(urllib.request.url2pathname(address.path)))
    if "://" in source:
        raise DatasetError(
            f"Data source {source!r} is neither https:// nor a local file:///folder. "
            "Use one of these, because other transports can be tampered with on their way; "
            "or download the files yourself and give their folder."
        )
    return _local(file, Path(source).expanduser())


def _local(file: PublishedFile, folder: Path) -> bytes:
    """Content from a folder of the user, where the file lies packed or not."""
    archive, plain = folder / file.archive, folder / file.name
    if archive.is_file():
        return _unpacked(file, archive)
    if not plain.is_file():
        raise DatasetError(
            f"{archive} is missing, and so is {plain.name} without {file.suffix}. Give the folder "
            "that holds the files of the dataset as data source, or use the data source 'download'."
        )
    if file.sha256 is None:
        raise DatasetError(
            f"{plain} cannot be checked: of this dataset only the checksums of the archives "
            f"are known. Put the original {file.archive} beside it, or use the data source "
            "'download'."
        )
    return _checked(file, plain, _bytes(plain))


def _downloaded(file: PublishedFile, mirrors: Sequence[str], folder: Path) -> bytes:
    """Content by way of the archive in our own folder, fetched unless it is there unharmed."""
    archive = folder / file.archive
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.archive}"
        try:
            with _https_only():
                # Checks the MD5 of an archive that is already there, and fetches it if it is wrong.
                download_url(url, folder, file.archive, file.archive_md5)
            return _unpacked(file, archive)
        # torchvision's own complaint about a wrong checksum is a bare RuntimeError.
        except (OSError, HTTPException, RuntimeError, DatasetError) as error:
            cause = _cause(error)
            if _is_of_disk(cause):
                raise cannot_write(archive, cause) from error
            failures.append(f"{url}: {_reason(file, archive, cause)}")
            _remove(archive)
    raise DatasetError(
        f"Cannot download {file.archive}: {'; '.join(failures)}. Check the network and run again, "
        "or get the files elsewhere and give their folder as data source."
    )


def _cause(error: Exception) -> Exception:
    """The failure of https that made torchvision try http, if that is what happened."""
    refused = isinstance(error, RefusedHttp) and isinstance(error.__context__, OSError)
    return error.__context__ if refused else error


def _is_of_disk(error: Exception) -> bool:
    """Tell a folder that cannot be written or a full disk from a failure of the network."""
    if not isinstance(error, OSError) or isinstance(error, URLError):
        return False
    return error.filename is not None or error.errno in FULL_OR_FAILING_DISK


def _reason(file: PublishedFile, archive: Path, error: Exception) -> str:
    """Say why a download failed, in terms of checksums if something arrived."""
    if isinstance(error, RuntimeError) and archive.is_file():
        actual = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
        return f"what arrived has MD5 {actual}, expected {file.archive_md5}"
    return str(error)


def _remove(archive: Path) -> None:
    try:
        archive.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(archive, error) from error


class RefusedHttp(URLError):
    """An address without encryption was about to be used."""


class _RefuseHttp(urllib.request.BaseHandler):
    """Turns away http, including redirections to it."""

    def http_open(self, request: urllib.request.Request) -> NoReturn:
        raise RefusedHttp(f"{request.full_url} is not https, so it is not used")


@contextmanager
def _https_only() -> Iterator[None]:
    """Let urllib use https alone, and give up on silent servers.

    torchvision's downloader tries http by itself when https fails, and waits without end.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _RefuseHttp(),
    ):
        opener.add_handler(handler)
    former_timeout = socket.getdefaulttimeout()
    urllib.request.install_opener(opener)
    socket.setdefaulttimeout(STALLED_AFTER)
    try:
        yield
    finally:
        urllib.request.install_opener(None)
        socket.setdefaulttimeout(former_timeout)


# Checking and reading -----------------------------------------------------------------------------


def _unpacked(file: PublishedFile, archive: Path) -> bytes:
    """Uncompressed content of an archive, checked by SHA-256, or by the archive's MD5 instead."""
    packed = _bytes(archive)
    if file.sha256 is None:
        actual = hashlib.md5(packed, usedforsecurity=False).hexdigest()
        if actual != file.archive_md5:
            raise _damaged(archive, f"its MD5 is {actual}, expected {file.archive_md5}")
    if file.suffix != ".gz":
        return packed
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(archive, f"it cannot be unpacked ({error})") from error
    return _checked(file, archive, content)


def _checked(file: PublishedFile, path: Path, content: bytes) -> bytes:
    actual = hashlib.sha256(content).hexdigest()
    if file.sha256 not in (None, actual):
        raise _damaged(
            path, f"the SHA-256 of its uncompressed content is {actual}, expected {file.sha256}"
        )
    return content


def _damaged(path: Path, reason: str) -> DatasetError:
    return DatasetError(
        f"{path} is truncated, damaged or another file: {reason}. "
        "Replace it by an unharmed copy, or use the data source 'download'."
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error}. Check its permissions.") from error
