"""List the results in a folder with their checksums, for scripts/verify.py to check."""

import argparse
from pathlib import Path

from topography import storage
from topography.jobs import command_line
from topography.report import provenance


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root", type=Path, required=True, help="folder of the results; gets a manifest.csv"
    )
    return parser.parse_args()


def main() -> None:
    """Write the manifest into the root."""
    root = parse_arguments().root
    storage.write_table(root / provenance.MANIFEST, provenance.manifest(root))


if __name__ == "__main__":
    command_line.run(main)
