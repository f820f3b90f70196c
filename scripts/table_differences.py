"""What each variant of the configuration changes: losses, weights and heights."""

import argparse
from pathlib import Path

from topography import storage
from topography.jobs import command_line
from topography.report import differences


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    lists = {
        "--selections": "selection files {architecture}/{optimizer}.csv",
        "--sets": "sets of weights {architecture}/{set}.safetensors",
        "--barriers": "barrier tables {architecture}/{set}.csv on the train landscape",
    }
    for name, text in lists.items():
        where = f"{text}; those below variants/{{variant}}/ belong to a variant"
        parser.add_argument(name, type=Path, nargs="+", required=True, help=where)
    parser.add_argument("--scale", required=True, help="name of the scale")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--csv", type=Path, required=True, help="CSV to write")
    parser.add_argument("--markdown", type=Path, required=True, help="Markdown to write")
    return parser.parse_args()


def main() -> None:
    """Measure and write both files."""
    arguments = parse_arguments()
    measured = differences.read(arguments.selections, arguments.sets, arguments.barriers)
    table = differences.compare(measured)
    storage.write_table(arguments.csv, table)
    storage.write_text(
        arguments.markdown, differences.markdown(table, arguments.scale, arguments.dataset)
    )


if __name__ == "__main__":
    command_line.run(main)
