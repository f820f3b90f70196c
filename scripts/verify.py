"""Check a published set of results against its manifest, without the workflow or a network."""

import argparse
from pathlib import Path

from topography.errors import TopographyError
from topography.jobs import command_line
from topography.report import provenance


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with manifest.csv and what it lists")
    return parser.parse_args()


def main() -> None:
    """Say that the set is whole, or what is wrong with it."""
    folder = parse_arguments().folder
    found = list(provenance.problems(folder))
    for problem in found:
        print(problem)
    if found:
        raise TopographyError(
            f"{folder} is not what its manifest says: {len(found)} problems, listed above. "
            "Get it again from where it was published."
        )
    print(f"{folder}: {len(provenance.results_below(folder))} files are what the manifest says")


if __name__ == "__main__":
    command_line.run(main)
