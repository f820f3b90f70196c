"""Table S1: mean and standard deviation of the weights, per architecture and set."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis import tables
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--statistics",
        type=Path,
        nargs="+",
        required=True,
        help="weight statistics {architecture}.csv; rows of the table in this order",
    )
    tables.add_caption_arguments(parser)
    parser.add_argument("--csv", type=Path, required=True, help="CSV to write, all digits")
    parser.add_argument("--markdown", type=Path, required=True, help="Markdown to write")
    return parser.parse_args()


def main() -> None:
    """Write Table S1."""
    arguments = parse_arguments()
    statistics = {path.stem: storage.read_table(path) for path in arguments.statistics}
    weights = tables.weight_table(statistics)
    storage.write_table(arguments.csv, weights)
    storage.write_text(
        arguments.markdown,
        tables.weight_markdown(weights, arguments.scale, arguments.dataset, arguments.imported),
    )


if __name__ == "__main__":
    command_line.run(main)
