"""Table 1: train and test loss of the kept runs, per architecture and optimizer."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis import tables
from topography.jobs import command_line
from topography.naming import by_folder_and_stem


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--selections",
        type=Path,
        nargs="+",
        required=True,
        help="selection files {architecture}/{optimizer}.csv; rows of the table in this order",
    )
    parser.add_argument(
        "--statistics",
        type=Path,
        nargs="+",
        required=True,
        help="weight statistics {architecture}.csv, for the number of parameters",
    )
    tables.add_caption_arguments(parser)
    parser.add_argument("--csv", type=Path, required=True, help="CSV to write, all digits")
    parser.add_argument("--markdown", type=Path, required=True, help="Markdown to write")
    return parser.parse_args()


def main() -> None:
    """Write Table 1."""
    arguments = parse_arguments()
    selections = {
        names: storage.read_table(path)
        for names, path in by_folder_and_stem(arguments.selections).items()
    }
    statistics = {path.stem: storage.read_table(path) for path in arguments.statistics}
    losses = tables.loss_table(selections, statistics)
    storage.write_table(arguments.csv, losses)
    storage.write_text(
        arguments.markdown,
        tables.loss_markdown(losses, arguments.scale, arguments.dataset, arguments.imported),
    )


if __name__ == "__main__":
    command_line.run(main)
