"""Copy tables, and what goes with them, to where people look for them."""

import argparse
from pathlib import Path

from topography import storage
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--files", type=Path, nargs="+", required=True, help="CSV files must match their checksums"
    )
    parser.add_argument("--folder", type=Path, required=True, help="where to copy them to")
    return parser.parse_args()


def main() -> None:
    """Publish the files."""
    arguments = parse_arguments()
    contents = {
        file.name: storage.read_checked(file) if file.suffix == ".csv" else file.read_bytes()
        for file in arguments.files
    }
    for name, content in contents.items():
        with storage.atomic_path(arguments.folder / name) as temporary:
            temporary.write_bytes(content)


if __name__ == "__main__":
    command_line.run(main)
