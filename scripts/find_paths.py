"""Find low-loss paths between pairs of networks of one set, and measure them on all images.

Writes, for each pair, the Fourier coefficients of the path and its losses at the points it was
optimised on, on a finer grid, along the straight line between its ends, and summed at each
optimisation step.
"""

import argparse
import sys
from pathlib import Path

from topography.jobs import command_line, orphans


def arguments() -> argparse.Namespace:
    from topography.jobs.common import add_checkpoint_argument, add_network_arguments

    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser)
    add_checkpoint_argument(parser)
    parser.add_argument("--landscape", choices=["train", "test"], required=True, help="which loss")
    parser.add_argument("--set", type=Path, required=True, help="the networks, safetensors")
    parser.add_argument("--pairs", type=Path, required=True, help="made by sample_pairs.py")
    parser.add_argument("--first", type=int, required=True, help="row of the pairs file")
    parser.add_argument("--last", type=int, required=True, help="row of the pairs file, inclusive")
    parser.add_argument(
        "--path-settings",
        type=command_line.settings,
        required=True,
        help="JSON object: terms, points, fine_points, penalty, steps, learning_rate, keep, "
        "images_per_step (null for all), images_seed, precision (exact or fast)",
    )
    parser.add_argument("--output", type=Path, required=True, help="output, safetensors")
    return parser.parse_args()


def main() -> None:
    args = arguments()

    from topography.architectures import get_architecture
    from topography.checkpoint import Checkpoint
    from topography.device import advice_when_out_of_memory
    from topography.jobs import common
    from topography.jobs.path_searches import (
        PAIRS_AT_A_TIME,
        PathSettings,
        find_and_measure,
        read_pairs,
        read_weights,
    )
    from topography.paths import equally_spaced
    from topography.precision import product_type
    from topography.progress import Progress
    from topography.storage import sha256_of_file, write_tensors

    device = common.set_up_device(args)
    architecture = get_architecture(args.architecture, **args.architecture_settings)
    landscape = common.load_objectives(args, architecture, device)[args.landscape]
    settings = PathSettings.from_json(args.path_settings)
    weights = read_weights(args.set, architecture.parameter_count).to(device)
    pairs = read_pairs(args.pairs, args.first, args.last, len(weights))
    label = (
        f"{args.architecture} {args.set.stem} on {args.landscape}, pairs {args.first}-{args.last}"
    )
    images = landscape.count if settings.images_per_step is None else settings.images_per_step
    inputs = {"networks": sha256_of_file(args.set), "pairs": pairs.tolist()}
    identity = common.identity(
        args, "find_paths.py", [f"topography.architectures.{args.architecture}"], ["output"], inputs
    )
    checkpoint = Checkpoint(args.checkpoint, identity)
    checkpoint.stop_on_signals()
    print(
        f"{label}: {settings.steps} steps of {settings.points} points on {images} of "
        f"{landscape.count} images, on {device}, matrix products of the search in "
        f"{product_type(settings.precision, device)}",
        file=sys.stderr,
        flush=True,
    )
    with advice_when_out_of_memory(
        "Not even a single path fits: take a GPU with more memory, or --config device=cpu."
    ):
        measured = find_and_measure(
            landscape,
            weights,
            pairs,
            settings,
            pairs_per_batch=PAIRS_AT_A_TIME[device.type],
            checkpoint=checkpoint,
            progress=Progress(label, len(pairs) * settings.steps),
        )
    grids = {
        "t": equally_spaced(settings.points),
        "fine_t": equally_spaced(settings.fine_points),
    }
    orphans.refuse_orphan()
    write_tensors(
        args.output,
        {name: tensor.numpy() for name, tensor in {**grids, **measured}.items()},
        {"architecture": args.architecture, "set": args.set.stem, "landscape": args.landscape},
    )
    checkpoint.remove()


if __name__ == "__main__":
    command_line.run(main)
