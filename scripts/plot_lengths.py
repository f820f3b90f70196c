"""Figures 5 and S3: histograms of distances from the common origin."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis.sets import COMPARISONS
from topography.figures import lengths, style
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--lengths",
        type=Path,
        nargs="+",
        required=True,
        help="lengths {architecture}.csv; one panel per architecture, in this order",
    )
    parser.add_argument(
        "--centroids",
        type=Path,
        nargs="+",
        required=True,
        help="centroid distances {architecture}.centroids.csv of the same architectures",
    )
    parser.add_argument(
        "--comparison",
        choices=COMPARISONS,
        required=True,
        help="the two sets to draw: lbfgs_train-sgd_test is Figure 5, lbfgs_test-sgd_test "
        "Figure S3",
    )
    style.add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    lengths_by_architecture = {
        path.stem: storage.read_table(path, ["set", "length"]) for path in arguments.lengths
    }
    centroids_by_architecture = {
        path.stem.removesuffix(".centroids"): storage.read_table(path, ["distance"])
        for path in arguments.centroids
    }
    numbers = lengths.shown_numbers(
        lengths_by_architecture, centroids_by_architecture, arguments.comparison
    )
    figure = lengths.draw(numbers)
    style.stamp(figure, arguments.scale, arguments.dataset)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
