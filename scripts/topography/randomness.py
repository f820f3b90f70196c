"""One independent random stream for every (seed, purpose)."""

import torch

from topography import seeding


def generator(seed: int, purpose: str) -> torch.Generator:
    """CPU generator whose stream depends on `seed` and `purpose` alone.

    A stream of its own for each purpose ("initialisation", "minibatches/epoch 7", ...) is what
    makes a network's result independent of its batch-mates, of the device and of where a run was
    resumed.
    """
    return torch.Generator().manual_seed(seeding.derive(seed, purpose))
