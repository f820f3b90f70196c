"""Heights of paths against the effort spent on them, and what becomes of their ordering."""

import argparse
from pathlib import Path

from topography import storage
from topography.jobs import command_line
from topography.report import convergence


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--searches",
        type=Path,
        nargs="+",
        required=True,
        help="tables made by converge_paths.py, {architecture}/{set}.csv",
    )
    parser.add_argument(
        "--terms",
        type=command_line.settings,
        required=True,
        help="JSON object: architecture -> Fourier terms of the paths of Figure 4",
    )
    parser.add_argument("--efforts", type=Path, required=True, help="CSV to write: mean heights")
    parser.add_argument("--orderings", type=Path, required=True, help="CSV to write: verdicts")
    return parser.parse_args()


def main() -> None:
    """Write both tables."""
    arguments = parse_arguments()
    searches = convergence.read_searches(arguments.searches)
    storage.write_table(arguments.efforts, convergence.efforts(searches))
    storage.write_table(arguments.orderings, convergence.orderings(searches, arguments.terms))


if __name__ == "__main__":
    command_line.run(main)
