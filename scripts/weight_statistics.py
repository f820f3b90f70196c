"""Mean and standard deviation over all weights of each set of one architecture (Table S1)."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis import weight_statistics
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sets",
        type=Path,
        nargs="+",
        required=True,
        help="sets of weights of one architecture, {set}.safetensors",
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV to write: one row per set")
    return parser.parse_args()


def main() -> None:
    """Write the statistics of the sets."""
    arguments = parse_arguments()
    weights = {path.stem: storage.read_tensors(path)["weights"] for path in arguments.sets}
    storage.write_table(arguments.output, weight_statistics.statistics_table(weights))


if __name__ == "__main__":
    command_line.run(main)
