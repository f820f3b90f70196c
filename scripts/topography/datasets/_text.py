"""Texts as datasets: tokens cut into sequences, each with the tokens that follow as its labels."""

from collections.abc import Sequence

import numpy as np

from topography.datasets import Dataset, DatasetError

LENGTH = 35  # positions of a sequence, as in PyTorch's example of a word language model


def as_dataset(train: Sequence[str], test: Sequence[str], provenance: dict[str, str]) -> Dataset:
    """Dataset of two lists of tokens; numbers are given to the tokens in alphabetical order.

    The size of the vocabulary is noted as ``tokens``.

    Raises:
        DatasetError: a list is shorter than one sequence.
    """
    numbers = {token: number for number, token in enumerate(sorted({*train, *test}))}
    arrays = []
    for part, tokens in (("train", train), ("test", test)):
        sequences = (len(tokens) - 1) // LENGTH
        if sequences < 1:
            raise DatasetError(
                f"The {part} text has {len(tokens)} tokens, fewer than the {LENGTH + 1} of one "
                "sequence. Give a longer text."
            )
        stream = np.array([numbers[token] for token in tokens], dtype=np.int32)
        for shift in (0, 1):
            arrays.append(stream[shift : shift + sequences * LENGTH].reshape(-1, LENGTH).copy())
    return Dataset(*arrays, provenance={**provenance, "tokens": str(len(numbers))})


def characters(text: str, test_fraction: float, provenance: dict[str, str]) -> Dataset:
    """Dataset of the characters of a text; its last part is the test text."""
    cut = round(len(text) * (1 - test_fraction))
    return as_dataset(text[:cut], text[cut:], provenance)
