"""Gather the path files of one set on one landscape into one table, a row per pair."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis import barriers
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="pairs file of the set (CSV)")
    parser.add_argument(
        "--paths",
        type=Path,
        nargs="+",
        required=True,
        help="path files, pairs_{first}-{last}.safetensors; together they must hold the first "
        "rows of the pairs file without a gap",
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    return parser.parse_args()


def main() -> None:
    """Write the barrier table."""
    arguments = parse_arguments()
    pairs = storage.read_table(arguments.pairs, barriers.PAIR_COLUMNS)
    paths = {path: storage.read_tensors(path, barriers.PATH_SHAPES) for path in arguments.paths}
    storage.write_table(arguments.output, barriers.collect(pairs, paths))


if __name__ == "__main__":
    command_line.run(main)
