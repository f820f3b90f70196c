"""Figure 4 converged: heights of paths against the steps of the search."""

import argparse
from pathlib import Path

from topography import storage
from topography.figures import convergence, style
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--efforts", type=Path, required=True, help="CSV made by judge_convergence.py"
    )
    style.add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    numbers = storage.read_table(arguments.efforts, convergence.COLUMNS)
    figure = convergence.draw(numbers)
    style.stamp(figure, arguments.scale, arguments.dataset)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
