"""How time and memory grow with seeds, pairs and images: a table.

    PYTHONPATH=scripts:tests python -m benchmarks.scaling

Every row is a process of its own, so that its peak memory is its own.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.machine import peak_memory_mb
from topography.architectures import get_architecture
from topography.device import set_up_processor
from topography.images import load_images
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.paths import find_paths
from topography.training import initial_params

IMAGES, SEEDS, PAIRS = (7500, 15_000, 30_000, 60_000), (1, 2, 4, 8), (1, 2, 4)
LARGEST_IMAGES = IMAGES[-1]
ITERATIONS, STEPS = 3, 1
ROWS = [
    *(("training", seeds, LARGEST_IMAGES) for seeds in SEEDS),
    *(("training", SEEDS[-1], images) for images in IMAGES[:-1]),
    *(("paths", pairs, LARGEST_IMAGES) for pairs in PAIRS),
    *(("paths", PAIRS[-1], images) for images in IMAGES[:-1]),
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--architecture", default="fcp")
    parser.add_argument("--data", type=Path, default=Path("results/data/mnist.safetensors"))
    parser.add_argument("--row", nargs=3, help="measure one row only: kind, networks, images")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.row:
        kind, networks, images = args.row[0], int(args.row[1]), int(args.row[2])
        print(*measure(kind, networks, images, args.architecture, args.data))
        return
    print("| work | seeds or pairs | images | s | us per network and image | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    for kind, networks, images in ROWS:
        row = [kind, str(networks), str(images)]
        command = [sys.executable, "-m", "benchmarks.scaling", "--architecture", args.architecture]
        result = subprocess.run(
            [*command, "--data", args.data, "--row", *row],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds, per_image, memory = (float(number) for number in result.stdout.split())
        print(f"| {' | '.join(row)} | {seconds:.2f} | {per_image:.2f} | {memory:.0f} |", flush=True)


def measure(
    kind: str, networks: int, images: int, name: str, data: Path
) -> tuple[float, float, float]:
    """Seconds of an iteration of L-BFGS or of an Adam step, these per network and image in us
    (for a path per point too), and the peak memory of this process in MB."""
    set_up_processor(threads=1)
    architecture = get_architecture(name)
    dataset, pixels, _ = load_images(data, images, 1, architecture, torch.device("cpu"))
    objective = Objective(architecture, pixels, torch.from_numpy(dataset.train_labels).long())
    seconds = _train(objective, networks) if kind == "training" else _search(objective, networks)
    evaluations = networks * images * (1 if kind == "training" else 51)
    return seconds, seconds / evaluations * 1e6, peak_memory_mb(pixels.device)


def _train(objective: Objective, seeds: int) -> float:
    params = initial_params(objective.architecture, list(range(seeds)))
    optimizer = get_optimizer("lbfgs", iterations=ITERATIONS)
    state, _ = optimizer.start(objective, params)
    start = time.perf_counter()
    for iteration in range(1, ITERATIONS + 1):
        params, state, _ = optimizer.run_epoch(
            objective, params, state, list(range(seeds)), iteration
        )
    return (time.perf_counter() - start) / ITERATIONS


def _search(objective: Objective, pairs: int) -> float:
    starts, ends = initial_params(objective.architecture, list(range(2 * pairs))).chunk(2)
    objective.losses(starts)  # sorts the images, which a search does once
    start = time.perf_counter()
    find_paths(objective, starts, ends, steps=STEPS)
    return (time.perf_counter() - start) / STEPS


if __name__ == "__main__":
    main()
