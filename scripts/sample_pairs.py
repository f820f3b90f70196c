"""Put all pairs of a set of networks into one random order; the first n are the sample of n."""

import argparse
from pathlib import Path

from topography import seeding, storage
from topography.analysis import pairs
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--set",
        type=Path,
        required=True,
        help="set of weights, {architecture}/{set}.safetensors; both names enter the random order",
    )
    parser.add_argument("--seed", type=int, required=True, help="seed of the random order")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write: one row per pair")
    return parser.parse_args()


def main() -> None:
    """Write the pairs file of one set."""
    arguments = parse_arguments()
    purpose = f"pairs/{arguments.set.parent.name}/{arguments.set.stem}"
    seeds = storage.read_tensors(arguments.set)["seeds"]
    table = pairs.pair_table(seeds, seeding.numpy_generator(arguments.seed, purpose))
    storage.write_table(arguments.output, table)


if __name__ == "__main__":
    command_line.run(main)
