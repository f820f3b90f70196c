"""Figures of the geometry of optimization paths, all from the same records."""

import argparse
from pathlib import Path

from topography import command_line, storage
from topography.figures import geometry, style
from topography.figures.geometry_panels import FIGURES


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        required=True,
        help="records {study}.safetensors of all studies",
    )
    parser.add_argument(
        "--probes", type=Path, required=True, help="CSV: probes of the study controls"
    )
    parser.add_argument("--scale", required=True, help="name of the scale, stamped in a corner")
    parser.add_argument("--dataset", required=True, help="name of the dataset, stamped likewise")
    parser.add_argument(
        "--output-folder", type=Path, required=True, help="where to write all figures"
    )
    return parser.parse_args()


def main() -> None:
    """Draw and write the figures."""
    arguments = parse_arguments()
    runs = geometry.read_runs(arguments.records)
    probes = storage.read_table(arguments.probes)
    for name, panels in FIGURES.items():
        numbers = geometry.shown_numbers(panels, runs, probes)
        figure = geometry.draw(panels, numbers)
        style.stamp(figure, arguments.scale, arguments.dataset)
        style.save(figure, numbers, arguments.output_folder / name)


if __name__ == "__main__":
    command_line.run(main)
