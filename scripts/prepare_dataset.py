"""Fetch a dataset, check it, and write it as one safetensors file."""

import argparse
import sys
from pathlib import Path

from topography.datasets import dataset_names, load_dataset, write_dataset
from topography.jobs.command_line import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help=f"one of {', '.join(dataset_names())}")
    parser.add_argument(
        "--source",
        default="download",
        help="'download', a folder with the raw files, or a file:// or https:// mirror "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--raw-folder", required=True, type=Path, help="where downloaded files are kept"
    )
    parser.add_argument("--output", required=True, type=Path, help="safetensors file to write")
    arguments = parser.parse_args()

    dataset = load_dataset(arguments.dataset, arguments.raw_folder, arguments.source)
    write_dataset(arguments.output, dataset)
    print(
        f"{arguments.output}: {len(dataset.train_labels)} training and "
        f"{len(dataset.test_labels)} test images of {arguments.dataset}, "
        f"source: {arguments.source}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
