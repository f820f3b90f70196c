"""One figure of the geometry of optimization paths."""

import argparse
from pathlib import Path

import pandas as pd

from topography import storage
from topography.analysis import optimization_paths
from topography.figures import geometry, style
from topography.figures.geometry_panels import FIGURES
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, choices=FIGURES, help="which one")
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        required=True,
        help="records {study}.safetensors of the studies that it shows",
    )
    parser.add_argument(
        "--probes",
        type=Path,
        nargs="?",
        help="CSV: probes of the study controls, for a figure that shows them",
    )
    style.add_output_arguments(parser, dataset=False)
    return parser.parse_args()


def main() -> None:
    """Draw and write the figure."""
    arguments = parse_arguments()
    panels = FIGURES[arguments.figure]
    runs = optimization_paths.read_runs(arguments.records)
    probes = storage.read_table(arguments.probes) if arguments.probes else pd.DataFrame()
    numbers = geometry.shown_numbers(panels, runs, probes)
    figure = geometry.draw(panels, numbers)
    shown = {name: runs[name] for panel in panels for name in panel.runs}
    style.stamp(figure, arguments.scale, optimization_paths.datasets(shown.values()))
    style.save(figure, numbers, arguments.output_stem)


if __name__ == "__main__":
    command_line.run(main)
