"""Figures 4 and S2: histograms of path heights per architecture and set."""

import argparse
from pathlib import Path

from topography.figures import barriers, style
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--barriers",
        type=Path,
        nargs="+",
        required=True,
        help="barrier tables of one landscape, {landscape}/{architecture}/{set}.csv; one panel "
        "per architecture, in this order",
    )
    style.add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    landscape, heights = barriers.read_heights(arguments.barriers)
    numbers = barriers.shown_numbers(heights)
    figure = barriers.draw(numbers, landscape)
    style.stamp(figure, arguments.scale, arguments.dataset)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
