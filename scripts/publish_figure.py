"""Copy a figure to where people look for it, and say where it comes from."""

import argparse
from pathlib import Path

from topography.jobs import command_line
from topography.report import provenance


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, required=True, help="figure to copy, without suffix")
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        help="JSON file about the run: commit, scale, dataset, configuration, seeds",
    )
    parser.add_argument(
        "--logs", type=Path, nargs="*", default=[], help="of the trainings; missing ones are none"
    )
    parser.add_argument(
        "--target",
        type=Path,
        required=True,
        help="copy to make, without suffix: .pdf, .png, .csv and .json are added",
    )
    return parser.parse_args()


def main() -> None:
    """Publish the figure."""
    arguments = parse_arguments()
    description = {
        **provenance.read_json(arguments.run),
        "device": provenance.devices([log for log in arguments.logs if log.is_file()]),
        "date": provenance.now(),
    }
    provenance.publish(arguments.figure, arguments.target, description)


if __name__ == "__main__":
    command_line.run(main)
