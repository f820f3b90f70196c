"""First two kernel principal components of L-BFGS and SGD solutions (Figs. 6, S4)."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis import kernel_pca
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sets",
        type=Path,
        nargs="+",
        required=True,
        help="sets of weights of one architecture, {set}.safetensors: lbfgs_train, lbfgs_test, "
        "sgd_test (others are not used)",
    )
    parser.add_argument(
        "--kernels",
        nargs="+",
        choices=kernel_pca.KERNELS,
        required=True,
        help="kernels to project with; the paper's figures use rbf",
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    return parser.parse_args()


def main() -> None:
    """Write the projections of both comparisons."""
    arguments = parse_arguments()
    sets = {path.stem: storage.read_tensors(path) for path in arguments.sets}
    storage.write_table(arguments.output, kernel_pca.projection_table(sets, arguments.kernels))


if __name__ == "__main__":
    command_line.run(main)
