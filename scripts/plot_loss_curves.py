"""Figures 2 and S1: mean train and test loss curves of each optimizer, with confidence bands."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis.histories import read_histories
from topography.figures import loss_curves, style
from topography.jobs import command_line
from topography.naming import by_folder_and_stem


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--histories",
        type=Path,
        nargs="+",
        required=True,
        help="loss curves {architecture}/{optimizer}/seeds_{first}-{last}.history.csv; one row "
        "of panels per architecture, in this order",
    )
    parser.add_argument(
        "--selections",
        type=Path,
        nargs="+",
        required=True,
        help="selection files {architecture}/{optimizer}.csv; the kept runs are averaged",
    )
    style.add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    selections = {
        names: storage.read_table(path)
        for names, path in by_folder_and_stem(arguments.selections).items()
    }
    histories = read_histories(arguments.histories)
    numbers = loss_curves.shown_numbers(histories, selections)
    figure = loss_curves.draw(numbers)
    style.stamp(figure, arguments.scale, arguments.dataset)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
