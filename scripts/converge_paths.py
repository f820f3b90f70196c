"""Search the paths between some pairs of networks of one set on until they get no lower.

Writes a table: a row per pair, number of Fourier terms and measurement, with the height of the path
after so many steps, on all images.
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
    parser.add_argument("--set", type=Path, required=True, help="the networks, safetensors")
    parser.add_argument("--pairs", type=Path, required=True, help="made by sample_pairs.py")
    parser.add_argument(
        "--count",
        type=int,
        required=True,
        help="join so many pairs, of which as few as possible share a network",
    )
    parser.add_argument(
        "--settings",
        type=command_line.settings,
        required=True,
        help="JSON object: first (as --path-settings of find_paths.py), terms (a list), doublings, "
        "tolerance, points, learning_rate, images_per_step (null for all)",
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from topography.analysis.pairs import apart
    from topography.architectures import get_architecture
    from topography.checkpoint import Checkpoint
    from topography.device import advice_when_out_of_memory
    from topography.jobs import common, converged_searches, path_searches
    from topography.progress import Progress
    from topography.storage import sha256_of_file, write_table

    device = common.set_up_device(args)
    architecture = get_architecture(args.architecture, **args.architecture_settings)
    landscape = common.load_objectives(args, architecture, device)["train"]
    settings = converged_searches.ConvergenceSettings.from_json(args.settings)
    weights = path_searches.read_weights(args.set, architecture.parameter_count).to(device)
    pairs = path_searches.read_pairs(args.pairs, 0, None, len(weights))
    chosen = apart(*pairs.numpy().T)[: args.count]
    pairs = pairs[chosen]
    inputs = {"networks": sha256_of_file(args.set), "pairs": pairs.tolist()}
    modules = [f"topography.architectures.{args.architecture}"]
    identity = common.identity(args, "converge_paths.py", modules, ["output"], inputs)
    checkpoint = Checkpoint(args.checkpoint, identity)
    checkpoint.stop_on_signals()
    label = f"{args.architecture} {args.set.stem}, {len(pairs)} pairs"
    print(f"{label}: up to {settings.most_steps} steps, on {device}", file=sys.stderr, flush=True)
    with advice_when_out_of_memory("Lower converged.pairs, or converged.terms."):
        rows = converged_searches.search(
            landscape,
            weights,
            pairs,
            settings,
            landscape_at=converged_searches.landscapes(landscape, settings),
            pairs_per_batch=converged_searches.PAIRS_AT_A_TIME[device.type],
            checkpoint=checkpoint,
            progress=Progress(label, len(settings.terms) * len(pairs) * settings.most_steps),
        )
    orphans.refuse_orphan()
    write_table(args.output, converged_searches.named(rows, pairs.numpy(), chosen))
    checkpoint.remove()


if __name__ == "__main__":
    command_line.run(main)
