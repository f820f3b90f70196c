"""Figure 1: sample images, a network, and a landscape with two minima."""

import argparse
from pathlib import Path

from topography import storage
from topography.errors import TopographyError
from topography.figures import overview, style
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="dataset, {dataset}.safetensors")
    style.add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    data = storage.read_tensors(arguments.data)
    if data["train_labels"].ndim > 1:
        raise TopographyError(
            f"{arguments.data} holds a text, but Figure 1 shows images. Choose a dataset of images."
        )
    numbers = overview.shown_numbers(data["train_labels"])
    figure = overview.draw(numbers, data["train_images"])
    style.stamp(figure, arguments.scale, arguments.dataset)
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
