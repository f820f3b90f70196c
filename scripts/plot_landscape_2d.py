"""Figure 3: a straight line and three optimised paths on a landscape of two dimensions."""

import argparse
from pathlib import Path

from topography import storage
from topography.figures import landscape_2d, style
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--landscape", type=Path, required=True, help="landscape_2d.safetensors: paths and grid"
    )
    style.add_output_arguments(parser, dataset=False)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    tensors = storage.read_tensors(arguments.landscape)
    numbers = landscape_2d.shown_numbers(tensors)
    figure = landscape_2d.draw(numbers, tensors)
    style.stamp(figure, arguments.scale)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
