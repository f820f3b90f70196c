"""How much faster the engine is than the ordinary way, and how close to what the machine can do.

    make bench                     all architectures, results/benchmarks.json
    make bench BENCH=--short       the same on fewer images and repeats, in under two minutes
    make bench BENCH="--cores 2"   on two cores
    make bench BENCH="--device cuda"   on a GPU, with as many networks and pairs as a job has there

Contestants take turns, so that a machine that slows down slows all of them; medians are compared.
Cores are used as each side uses them: the engine in a process of one thread for each, as the
workflow does, the ordinary way in one process with as many threads, as PyTorch does by itself.
"""

import argparse
import json
import statistics
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from benchmarks.machine import description, matrix_product_rate, seconds_of
from benchmarks.work import ALL_IMAGES, Work, all_work, part_of
from benchmarks.workers import Workers
from topography.architectures import get_architecture
from topography.device import choose_device
from topography.images import load_images
from topography.jobs import command_line
from topography.objective import Objective

# Images measured; the time of each work is proportional to their number, and scaled to 60,000. On a
# GPU all of these, since fewer would not fill it.
IMAGES = {"fcp": 60_000, "autoencoder": 20_000, "lenet": 4096, "lstm": 4096}
SHORT_IMAGES = {"fcp": 4096, "autoencoder": 2048, "lenet": 256, "lstm": 512}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", default=list(IMAGES), choices=list(IMAGES))
    parser.add_argument("--short", action="store_true", help="fewer images and repeats")
    parser.add_argument("--cores", type=int, default=1, help="to use at once (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--repeats", type=int, help="timings of each (default 5, short: 3)")
    parser.add_argument("--data", type=Path, default=Path("results/data/mnist.safetensors"))
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks.json"))
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if not args.data.exists():
        sys.exit(f"error: {args.data} is not there; make it with `snakemake --cores 1 {args.data}`")
    torch.set_num_threads(args.cores)
    device = choose_device(args.device)
    repeats = args.repeats or (3 if args.short else 5)
    counts = SHORT_IMAGES if args.short else IMAGES
    if device.type == "cuda":
        counts = dict.fromkeys(IMAGES, ALL_IMAGES)
    rate = matrix_product_rate(device)
    machine = {**description(args.cores, device), "matrix_product_gflops": rate / 1e9}
    rows = []
    for name in args.architectures:
        architecture = get_architecture(name)
        data, images, _ = load_images(args.data, ALL_IMAGES, 1, architecture, torch.device("cpu"))
        labels = torch.from_numpy(data.train_labels).long()
        part = part_of(Objective(architecture, images, labels), counts[name])
        some = part.images, part.labels
        there = [tensor.to(device) for tensor in some]
        with Workers(args.cores, name, *some, device) as workers:
            for work in all_work(name, *there):
                print(f"{name}: {work.name}", file=sys.stderr, flush=True)
                rows.append(row(work, workers, repeats, rate, device))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "images": counts,
        "repeats": repeats,
        "work": rows,
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(table(rows, machine))
    print(f"\nwritten to {args.output}")


def row(
    work: Work, workers: Workers, repeats: int, rate: float, device: torch.device
) -> dict[str, object]:
    """Medians of one work in seconds, the engine's advantage, and its share of the machine.

    rate: of large matrix products on all cores, floating-point operations per second.
    """
    functions = {"engine": partial(workers.run, work.name), **work.ordinary}
    share = {**work.share, "engine": work.share["engine"] * len(workers.processes)}
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            passed = seconds_of(function, device)
            if repeat:  # the first is for warming up
                seconds[name].append(passed / share[name])
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "work": work.name,
        "architecture": work.architecture,
        "seconds": medians,
        "peak_memory_mb": workers.peak_memory_mb,
        "spread": {name: max(times) / min(times) for name, times in seconds.items()},
        "ratio": {
            name: median / medians["engine"] for name, median in medians.items() if name != "engine"
        },
        "fraction_of_limit": work.operations / medians["engine"] / rate,
    }


def table(rows: list[dict], machine: dict[str, object]) -> str:
    """The report as Markdown."""
    lines = [
        f"{machine['processor']}, {machine['cores']} core(s), torch {machine['torch']}, "
        f"matrix products at {machine['matrix_product_gflops']:.0f} GFLOP/s",
        "",
        "| work | network | engine | times faster than | of the limit | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for entry in rows:
        ratios = ", ".join(f"{name} {ratio:.1f}" for name, ratio in entry["ratio"].items())
        lines.append(
            f"| {entry['work']} | {entry['architecture']} | {entry['seconds']['engine']:.3g} s "
            f"| {ratios} | {entry['fraction_of_limit']:.0%} | {entry['peak_memory_mb']:.0f} MB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    command_line.run(main)
