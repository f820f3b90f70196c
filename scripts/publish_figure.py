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
        help="JSON file about the run: commit, scale, dataset, configuration, seeds, trainings",
    )
    parser.add_argument(
        "--logs", type=Path, required=True, help="folder of the logs of trainings, <training>.log"
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
    run = provenance.read_json(arguments.run)
    logs = [arguments.logs / f"{training}.log" for training in run.pop("trainings")]
    description = {
        **run,
        "device": provenance.devices([log for log in logs if log.is_file()]),
        "date": provenance.now(),
    }
    provenance.publish(arguments.figure, arguments.target, description)


if __name__ == "__main__":
    command_line.run(main)
