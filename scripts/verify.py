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
    if not (folder / provenance.MANIFEST).is_file():
        raise TopographyError(
            f"{folder} has no {provenance.MANIFEST} to check it against. For the results of a "
            f"scale make it: snakemake --cores 1 {folder / provenance.MANIFEST}, with the --config "
            "of the run."
        )
    found = list(provenance.problems(folder))
    for problem in found:
        print(problem)
    if found:
        raise TopographyError(
            f"{folder} is not what its manifest says: {len(found)} differences, listed above. Get "
            "a published set again from where it was published; of results of your own, delete "
            "what has changed and run the workflow again."
        )
    print(f"{folder}: {len(provenance.results_below(folder))} files are what the manifest says")


if __name__ == "__main__":
    command_line.run(main)
