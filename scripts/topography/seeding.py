"""Seeds for independent random streams, the same on every machine and in every version."""

import hashlib

import numpy as np


def derive(seed: int, purpose: str) -> int:
    """Return the 63-bit seed of the stream that belongs to ``seed`` and ``purpose``.

    A hash, not a sum: neighbouring seeds and similar purposes give unrelated streams. Python's own
    ``hash`` differs from process to process, SHA-256 does not.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """Numpy generator of the stream that belongs to ``seed`` and ``purpose``."""
    return np.random.Generator(np.random.PCG64(derive(seed, purpose)))
