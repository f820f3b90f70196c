"""Distance of every weight vector from the common origin of the solutions (Figs. 5, S3)."""

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
        help="sets of weights of one architecture, {set}.safetensors; lbfgs_test and sgd_test "
        "must be among them, they define the origin",
    )
    parser.add_argument(
        "--lengths", type=Path, required=True, help="CSV to write: one row per weight vector"
    )
    parser.add_argument(
        "--centroids",
        type=Path,
        required=True,
        help="CSV to write: distance of the two test-set centroids from the origin",
    )
    return parser.parse_args()


def main() -> None:
    """Write the lengths and the centroid distances."""
    arguments = parse_arguments()
    sets = {path.stem: storage.read_tensors(path) for path in arguments.sets}
    lengths, centroids = weight_statistics.length_tables(sets)
    storage.write_table(arguments.lengths, lengths)
    storage.write_table(arguments.centroids, centroids)


if __name__ == "__main__":
    command_line.run(main)
