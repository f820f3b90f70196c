"""Keep the best runs of one architecture and optimizer, and write their two sets of weights."""

import argparse
import sys
from pathlib import Path

from topography import storage
from topography.analysis import selection
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        help="trained weights, seeds_{first}-{last}.safetensors, one or more",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        required=True,
        help="seeds_{first}-{last}.runs.csv of the same jobs, in the same order",
    )
    parser.add_argument(
        "--keep", type=int, required=True, help="how many runs to keep, by train loss"
    )
    parser.add_argument(
        "--selection", type=Path, required=True, help="CSV to write: all runs, ranked"
    )
    parser.add_argument(
        "--train-set",
        type=Path,
        required=True,
        help="safetensors to write: weights at the minimum of the train loss, best first",
    )
    parser.add_argument(
        "--test-set",
        type=Path,
        required=True,
        help="safetensors to write: weights of the same runs at the minimum of the test loss",
    )
    return parser.parse_args()


def main() -> None:
    """Rank the surviving runs, say which seeds failed, and write the kept weights."""
    arguments = parse_arguments()
    trained = selection.read_trained(arguments.weights, arguments.runs)
    for seed, reason in selection.failures(trained.runs):
        print(f"seed {seed} failed in training and is skipped: {reason}", file=sys.stderr)
    ranked = selection.rank_runs(trained, arguments.keep)
    train_set, test_set = selection.kept_sets(trained, ranked)
    storage.write_tensors(arguments.train_set, train_set, {"checkpoint": "train"})
    storage.write_tensors(arguments.test_set, test_set, {"checkpoint": "test"})
    storage.write_table(arguments.selection, ranked)


if __name__ == "__main__":
    command_line.run(main)
