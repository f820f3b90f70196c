"""Figures 6 and S4: kernel PCA projections of L-BFGS and SGD solutions."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis.sets import COMPARISONS
from topography.figures import kernel_pca, style
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--projections",
        type=Path,
        nargs="+",
        required=True,
        help="projections {architecture}.csv; one panel per architecture, in this order",
    )
    parser.add_argument(
        "--comparison",
        choices=COMPARISONS,
        required=True,
        help="the two sets to draw: lbfgs_train-sgd_test is Figure 6, lbfgs_test-sgd_test "
        "Figure S4",
    )
    style.add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    projections = {path.stem: storage.read_table(path) for path in arguments.projections}
    numbers = kernel_pca.shown_numbers(projections, arguments.comparison)
    figure = kernel_pca.draw(numbers)
    style.stamp(figure, arguments.scale, arguments.dataset)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
