"""Say what a scale costs before it runs: jobs, time, memory and disk of every costly stage.

Measures for half a minute how fast this machine does each kind of work, so run it where the jobs
will run. With --compare, sets the prediction beside the benchmark files of the scale.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topography.jobs import command_line

if TYPE_CHECKING:
    import pandas

    from topography.workflow.cost import Stage

REPOSITORY = Path(__file__).parents[1]
MINUTE, HOUR = 60.0, 3600.0
KIBI, MEBI, MEGA = 1024, 1024**2, 1e6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", help="a file in config/, or laptop (default: as config.yaml)")
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="changes of your own, as Snakemake's"
    )
    parser.add_argument(
        "--settings",
        type=command_line.settings,
        help="the complete configuration as a JSON object; the workflow gives it",
    )
    parser.add_argument(
        "--probe-seconds", type=float, default=30.0, help="time to measure (default %(default)s)"
    )
    parser.add_argument(
        "--compare", action="store_true", help="with the benchmark files in results/<scale>"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import torch

    from topography.device import choose_device, limit_gpu_memory, set_up_processor
    from topography.workflow import configuration, configuration_checks, cost, probe

    if args.settings is None:
        changes: dict[str, Any] = {}
        for file in args.configfile:
            changes = configuration.merge(changes, configuration.load(file))
        if args.scale is not None:
            changes["scale"] = args.scale
        config = configuration_checks.read(REPOSITORY, changes)
    else:
        config = args.settings
    set_up_processor(threads=1)
    device = choose_device(config["device"])
    limit_gpu_memory(device, config["gpu_memory"])
    torch.zeros(1, device=device)
    startup = time.process_time()  # what every job spends too: Python, its libraries, the device
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI
    stages = cost.stages(config, device.type)
    print(
        f"measuring {device} for about {args.probe_seconds:.0f} s ...", file=sys.stderr, flush=True
    )
    rates = probe.measure_rates(config, device, args.probe_seconds)
    seconds = [stage.seconds(rates[stage.architecture], startup) for stage in stages]
    if args.compare:
        benchmarks = Path("results", config["scale"], "benchmarks")
        stages = cost.stages(config, "cpu")  # what Snakemake measures is main memory
        print(comparison(stages, seconds, base, benchmarks).to_string(index=False))
        return
    on_gpu = device.type == "cuda"
    table = prediction(stages, seconds, 0 if on_gpu else base, "gpu" if on_gpu else "core")
    print(f"Scale {config['scale']}, a job at a time on each {'GPU' if on_gpu else 'core'}:")
    print(table.to_string(index=False))
    print(totals(stages, seconds, on_gpu))


def prediction(
    stages: "list[Stage]", seconds: list[float], base: int, unit: str
) -> "pandas.DataFrame":
    """A row per stage. base: bytes that every job needs at the least; unit: "core" or "gpu"."""
    import pandas

    return pandas.DataFrame(
        {
            "rule": [stage.rule for stage in stages],
            "architecture": [stage.architecture for stage in stages],
            "part": [stage.part for stage in stages],
            "jobs": [len(stage.jobs) for stage in stages],
            "minutes_per_job": [
                round(time / len(stage.jobs) / MINUTE, 2)
                for stage, time in zip(stages, seconds, strict=True)
            ],
            f"{unit}_hours": [round(time / HOUR, 4) for time in seconds],
            # Of the GPU, or main memory.
            "MB_per_job" if unit == "core" else "gpu_MB_per_job": [
                round((base + stage.memory) / MEGA) for stage in stages
            ],
            "MB_on_disk": [round(stage.results / MEGA, 1) for stage in stages],
        }
    )


def totals(stages: "list[Stage]", seconds: list[float], on_gpu: bool) -> str:
    """What follows from all stages together."""
    from topography.workflow import cost

    timed = list(zip(stages, seconds, strict=True))
    default = [pair for pair in timed if pair[0].rule not in cost.ON_REQUEST]
    on_request = [pair for pair in timed if pair[0].rule in cost.ON_REQUEST]
    results = sum(stage.results for stage, _ in default) / MEGA
    checkpoints = sum(stage.checkpoints for stage, _ in default) / MEGA
    lines = [
        f"Altogether {_jobs_and_hours(default, on_gpu)}; {results:.0f} MB on disk, and at most "
        f"{checkpoints:.0f} MB of checkpoints on the way."
    ]
    if on_request:
        lines.append(
            f"Converged paths, on request only: at most {_jobs_and_hours(on_request, on_gpu)} more."
        )
    lines.append(
        "Not counted: the dataset, and the short jobs for it, selection, analysis, figures and "
        "tables, a few core-seconds each."
    )
    return "\n".join(lines)


def _jobs_and_hours(timed: "list[tuple[Stage, float]]", on_gpu: bool) -> str:
    jobs = sum(len(stage.jobs) for stage, _ in timed)
    hours = sum(seconds for _, seconds in timed) / HOUR
    if on_gpu:
        return f"{jobs} jobs, {hours:.2f} GPU-hours"
    cores = os.cpu_count() or 1
    return (
        f"{jobs} jobs, {hours:.2f} core-hours, or {hours / cores:.2f} hours on the {cores} cores "
        "here"
    )


def comparison(
    stages: "list[Stage]", seconds: list[float], base: int, benchmarks: Path
) -> "pandas.DataFrame":
    """A row per stage with benchmark files: the prediction for the jobs they are of, and what was
    measured.

    Snakemake samples the CPU time and the memory of a job every 30 seconds only, so that
    measured_cpu_s lacks up to 30 seconds of each job; measured_s is complete.

    Raises:
        TopographyError: there is no benchmark file.
    """
    import pandas

    from topography.errors import TopographyError

    rows = []
    for stage, predicted in zip(stages, seconds, strict=True):
        # By name: jobs of other settings may have left files too.
        files = [benchmarks / stage.rule / f"{job}.tsv" for job in stage.jobs]
        files = [file for file in files if file.is_file()]
        if not files:
            continue
        measured = pandas.concat([pandas.read_csv(file, sep="\t") for file in files])
        expected = predicted * len(files) / len(stage.jobs)
        rows.append(
            {
                "rule": stage.rule,
                "architecture": stage.architecture,
                "part": stage.part,
                "jobs": f"{len(files)} of {len(stage.jobs)}",
                "predicted_s": round(expected, 1),
                "measured_s": round(measured["s"].sum(), 1),
                "measured_cpu_s": round(measured["cpu_time"].sum(), 1),
                "ratio": round(expected / measured["s"].sum(), 2),
                "predicted_MB": round((base + stage.memory) / MEGA),
                "measured_MB": round(measured["max_rss"].max() * MEBI / MEGA),
            }
        )
    if not rows:
        raise TopographyError(
            f"There are no benchmark files in {benchmarks}. Run the scale first, or name another."
        )
    return pandas.DataFrame(rows)


if __name__ == "__main__":
    command_line.run(main)
