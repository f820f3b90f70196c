"""Take networks trained elsewhere as if they were trained here: weights, and their losses."""

import argparse
import sys
from pathlib import Path

from topography.errors import TopographyError
from topography.jobs import command_line


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    from topography.jobs.common import add_network_arguments

    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser)
    parser.add_argument(
        "--train-set",
        type=Path,
        required=True,
        help=".npy or .safetensors, [n, parameters]: weights that minimise the train loss",
    )
    parser.add_argument(
        "--test-set", type=Path, required=True, help="the same networks, stopped early"
    )
    parser.add_argument("--first-seed", type=int, required=True, help="where to number them from")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--runs", type=Path, required=True, help="CSV to write: losses")
    return parser.parse_args()


def main() -> None:
    """Check the weights, compute their losses and write both."""
    args = parse_arguments()
    import numpy as np
    import pandas
    import torch

    from topography.analysis.selection import UNKNOWN_EPOCH
    from topography.architectures import get_architecture
    from topography.device import advice_when_out_of_memory
    from topography.external import read_vectors
    from topography.jobs import common
    from topography.storage import write_table, write_tensors

    device = common.set_up_device(args)
    architecture = get_architecture(args.architecture, **args.architecture_settings)
    files = {"train": args.train_set, "test": args.test_set}
    vectors = {
        name: read_vectors(file, architecture.parameter_count) for name, file in files.items()
    }
    if len(vectors["train"]) != len(vectors["test"]):
        raise TopographyError(
            f"{args.train_set} holds {len(vectors['train'])} networks, {args.test_set} "
            f"{len(vectors['test'])}. Give the same networks at both checkpoints."
        )
    objectives = common.load_objectives(args, architecture, device)
    with advice_when_out_of_memory("Give fewer networks, or --config device=cpu."):
        losses = {
            name: objectives[name].losses(torch.from_numpy(rows).to(device)).cpu().numpy()
            for name, rows in vectors.items()
        }
    count = len(vectors["train"])
    print(
        f"{args.architecture}: {count} networks, on {device}, mean train loss "
        f"{losses['train'].mean():.3g}, mean test loss {losses['test'].mean():.3g}",
        file=sys.stderr,
    )
    # Those of training are unknown. The other optimizer's are others.
    seeds = np.arange(args.first_seed, args.first_seed + count)
    write_tensors(
        args.weights,
        {"seeds": seeds, **{f"{name}_weights": rows for name, rows in vectors.items()}},
        {"architecture": args.architecture},
    )
    runs = {"seed": seeds, "status": "ok", "reason": ""}
    for name, values in losses.items():
        runs |= {f"{name}_epoch": UNKNOWN_EPOCH, f"{name}_loss": values}
    write_table(args.runs, pandas.DataFrame(runs))


if __name__ == "__main__":
    command_line.run(main)
