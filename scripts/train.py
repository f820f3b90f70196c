"""Train one architecture with one optimizer from a range of seeds, side by side.

Writes the weights at the minimum of the train-loss curve and at the minimum of the test-loss curve
(early stopping), the loss curves, and a table that says how each run ended.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from topography.errors import TopographyError
from topography.jobs import command_line, orphans

if TYPE_CHECKING:
    from topography.training import Training


def arguments() -> argparse.Namespace:
    from topography.jobs.common import add_checkpoint_argument, add_network_arguments

    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser)
    add_checkpoint_argument(parser)
    parser.add_argument("--optimizer", required=True, help="a file in topography/optimizers")
    parser.add_argument(
        "--optimizer-settings", type=command_line.settings, required=True, help="JSON object"
    )
    parser.add_argument("--first-seed", type=int, required=True)
    parser.add_argument("--last-seed", type=int, required=True, help="inclusive")
    parser.add_argument("--weights", type=Path, required=True, help="output, safetensors")
    parser.add_argument("--history", type=Path, required=True, help="output, CSV: the loss curves")
    parser.add_argument("--runs", type=Path, required=True, help="output, CSV: how each run ended")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from topography.architectures import get_architecture
    from topography.checkpoint import Checkpoint
    from topography.device import advice_when_out_of_memory
    from topography.jobs import common
    from topography.optimizers import get_optimizer
    from topography.progress import Progress
    from topography.training import initial_params, train

    device = common.set_up_device(args)
    architecture = get_architecture(args.architecture, **args.architecture_settings)
    optimizer = get_optimizer(args.optimizer, **args.optimizer_settings)
    objectives = common.load_objectives(args, architecture, device)
    seeds = list(range(args.first_seed, args.last_seed + 1))
    if not seeds:
        raise TopographyError(
            f"--last-seed {args.last_seed} lies below --first-seed {args.first_seed}: no seeds"
        )
    label = f"{args.architecture} {args.optimizer} seeds {args.first_seed}-{args.last_seed}"
    modules = [
        f"topography.architectures.{args.architecture}",
        f"topography.optimizers.{args.optimizer}",
    ]
    identity = common.identity(args, "train.py", modules, ["weights", "history", "runs"])
    checkpoint = Checkpoint(args.checkpoint, identity)
    checkpoint.stop_on_signals()
    print(
        f"{label}: {architecture.parameter_count} parameters, {args.train_images} train images, "
        f"{optimizer.epochs} epochs, on {device}",
        file=sys.stderr,
        flush=True,
    )
    with advice_when_out_of_memory("Lower training.seeds_per_job: the networks stay the same."):
        training = train(
            objectives["train"],
            objectives["test"],
            optimizer,
            seeds,
            initial_params(architecture, seeds).to(device),
            checkpoint,
            Progress(label, optimizer.epochs),
        )
    for seed, reason in training.failures.items():
        print(f"{label}: seed {seed} failed, {reason}", file=sys.stderr)
    orphans.refuse_orphan()
    write_results(args, training)
    checkpoint.remove()


def write_results(args: argparse.Namespace, training: "Training") -> None:
    """Write weights, loss curves and the table of runs."""
    import numpy as np
    import pandas

    from topography.storage import write_table, write_tensors

    seeds = np.array(training.seeds, dtype=np.int64)
    weights = training.best_weights.cpu().numpy()
    write_tensors(
        args.weights,
        {"seeds": seeds, "train_weights": weights[:, 0], "test_weights": weights[:, 1]},
        {"architecture": args.architecture, "optimizer": args.optimizer},
    )
    epochs = training.curves.shape[2]
    history = pandas.DataFrame(
        {
            "seed": seeds.repeat(epochs),
            "epoch": np.tile(np.arange(epochs), len(seeds)),
            "train_loss": training.curves[:, 0].flatten().numpy(),
            "test_loss": training.curves[:, 1].flatten().numpy(),
        }
    )
    write_table(args.history, history)
    best_epochs, best_losses = training.best_epochs.numpy(), training.best_losses.numpy()
    failures = training.failures
    runs = pandas.DataFrame(
        {
            "seed": seeds,
            "status": ["failed" if seed in failures else "ok" for seed in training.seeds],
            "reason": [failures.get(seed, "") for seed in training.seeds],
            "train_epoch": best_epochs[:, 0],
            "train_loss": best_losses[:, 0],
            "test_epoch": best_epochs[:, 1],
            "test_loss": best_losses[:, 1],
        }
    )
    write_table(args.runs, runs)


if __name__ == "__main__":
    command_line.run(main)
