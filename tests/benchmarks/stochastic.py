"""Heights of paths found on random images or in lower precision, against those of the full search.

    make bench-paths                   the networks and pairs of a finished run at scale laptop
    make bench-paths SCALE=mine BENCH="--architectures lstm --images 2000 --shortcuts 16x200 16x400"

All searches join the same networks, and all heights are measured on all images, so that two heights
of a pair differ by what a shortcut costs and by nothing else. The table grows search by search, and
a run that was stopped goes on where it stopped.
"""

import argparse
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from topography.architectures import get_architecture
from topography.device import set_up_processor
from topography.images import load_images
from topography.jobs.path_searches import PathSettings, find_and_measure, read_pairs, read_weights
from topography.objective import Objective
from topography.workflow.configuration import architecture_settings, for_architecture
from topography.workflow.configuration_checks import read

PAIRS_PER_BATCH = 4  # as a job on a CPU


@dataclass(frozen=True)
class Search:
    """One way to search the paths of a set: what a group of rows of the table has in common.

    share: 8 for an eighth of the images at each step, 1 for all of them.
    """

    architecture: str
    set: str
    images: int
    points: int
    share: int
    steps: int
    keep: str
    precision: str


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.stochastic", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--scale", default="laptop", help="whose networks and settings to take")
    parser.add_argument("--architectures", nargs="+", help="default: all of the scale")
    parser.add_argument("--sets", nargs="+", default=["lbfgs_train", "sgd_train"])
    parser.add_argument("--pairs", type=int, help="of each set (default: all of the scale)")
    parser.add_argument("--images", type=int, help="first train images (default: the scale's)")
    parser.add_argument("--points", type=int, help="of a path (default: the scale's)")
    parser.add_argument("--steps", type=int, default=100, help="of the full search (default 100)")
    parser.add_argument(
        "--shortcuts",
        nargs="+",
        type=shortcut,
        default=[(8, 100), (16, 160), (16, 200), (32, 200), (32, 400)],
        metavar="SHARExSTEPS",
        help="16x200 takes 200 steps, each on a sixteenth of the images",
    )
    parser.add_argument(
        "--keep", choices=["last", "mean"], default="last", help="path that shortcuts keep"
    )
    parser.add_argument(
        "--fast", action="store_true", help="also the full search in fast precision"
    )
    parser.add_argument("--output", type=Path, default=Path("results/stochastic.csv"))
    return parser.parse_args()


def shortcut(text: str) -> tuple[int, int]:
    """Share and steps of a text such as 16x200."""
    share, steps = text.split("x")
    return int(share), int(steps)


def main() -> None:
    args = arguments()
    set_up_processor(threads=1)
    config = read(Path(), {"scale": args.scale})
    for name in args.architectures or config["architectures"]:
        settings = for_architecture(config, name)
        count = args.images or settings["images"]["train"]
        architecture = get_architecture(name, **architecture_settings(config, name))
        file = Path(f"results/data/{config['dataset']}.safetensors")
        data, images, _ = load_images(file, count, 1, architecture, torch.device("cpu"))
        landscape = Objective(architecture, images, torch.from_numpy(data.train_labels).long())
        paths = {key: value for key, value in settings["paths"].items() if key != "landscapes"}
        paths["points"] = paths["fine_points"] = args.points or paths["points"]
        pairs = min(args.pairs or settings["pairs"]["count"], settings["pairs"]["count"])
        for chosen in args.sets:
            full = Search(name, chosen, count, paths["points"], 1, args.steps, "lowest", "exact")
            for search in searches(full, args.shortcuts, args.keep, args.fast):
                if not is_done(search, args.output):
                    print(search, file=sys.stderr, flush=True)
                    append(measure(search, landscape, paths, args.scale, pairs), args.output)
    print(table(pd.read_csv(args.output)))


def searches(full: Search, shortcuts: list[tuple[int, int]], keep: str, fast: bool) -> list[Search]:
    """The full search of a set, and its shortcuts one at a time."""
    return [
        full,
        *([replace(full, precision="fast")] if fast else []),
        *(replace(full, share=share, steps=steps, keep=keep) for share, steps in shortcuts),
    ]


def measure(
    search: Search, landscape: Objective, paths: dict, scale: str, pairs: int
) -> pd.DataFrame:
    """Rows of the table for a search: pair, height and processor seconds."""
    folder = Path("results", scale)
    weights = read_weights(
        folder / f"sets/{search.architecture}/{search.set}.safetensors",
        landscape.architecture.parameter_count,
    )
    chosen = read_pairs(
        folder / f"pairs/{search.architecture}/{search.set}.csv", 0, pairs - 1, len(weights)
    )
    settings = PathSettings(
        **{
            **paths,
            "steps": search.steps,
            "keep": search.keep,
            "images_per_step": None if search.share == 1 else search.images // search.share,
            "precision": search.precision,
        }
    )
    start = time.process_time()
    measured = find_and_measure(landscape, weights, chosen, settings, PAIRS_PER_BATCH)
    return pd.DataFrame(
        {
            **asdict(search),
            "i": chosen[:, 0],
            "j": chosen[:, 1],
            "height": measured["losses"].amax(dim=1),
            "seconds": (time.process_time() - start) / pairs,
        }
    )


def is_done(search: Search, output: Path) -> bool:
    """Whether the table in this file has the rows of a search."""
    if not output.exists():
        return False
    done = pd.read_csv(output)[list(asdict(search))]
    return bool((done == pd.Series(asdict(search))).all(axis=1).any())


def append(rows: pd.DataFrame, output: Path) -> None:
    """Add rows to the table in a file, by replacing the file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    known = [pd.read_csv(output)] if output.exists() else []
    draft = output.with_suffix(".draft")
    pd.concat([*known, rows]).to_csv(draft, index=False)
    draft.replace(output)


def table(rows: pd.DataFrame) -> str:
    """Bias and spread of the heights of every shortcut, as Markdown.

    Of height / height of the full search - 1: mean and standard deviation over the pairs of all
    sets.
    """
    pair = ["architecture", "set", "images", "points", "i", "j"]
    full = rows[(rows["share"] == 1) & (rows["precision"] == "exact")]
    both = rows.merge(full[[*pair, "steps", "height", "seconds"]], on=pair, suffixes=("", "_full"))
    both["change"] = both["height"] / both["height_full"] - 1.0
    both["less_work"] = both["share"] * both["steps_full"] / both["steps"]
    both["faster"] = both["seconds_full"] / both["seconds"]
    lines = [
        "| network | images per step | steps | path | precision | less work | faster | pairs "
        "| height | bias | spread |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    kinds = ["architecture", "images", "points", "share", "steps", "keep", "precision"]
    for (name, images, _, share, steps, keep, precision), group in both.groupby(kinds, sort=False):
        change = group["change"]
        lines.append(
            f"| {name} | {images // share} of {images} | {steps} | {keep} | {precision} "
            f"| {group['less_work'].mean():.1f} | {group['faster'].mean():.1f} | {len(group)} "
            f"| {group['height'].mean():.4f} | {change.mean():+.1%} | {change.std():.1%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
