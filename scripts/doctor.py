"""Look for what could stop a run before it starts, and say how to mend it.

One line per finding: ok, warning (a run may work all the same) or error (it cannot). Exit status 1
if there is an error. Give the --profile, --configfile and --config of the run that is meant.
"""

import argparse
import ast
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topography.errors import TopographyError
from topography.jobs import command_line
from topography.report import provenance
from topography.workflow import configuration, configuration_checks, preflight
from topography.workflow.preflight import ERROR, OK, WARNING, Finding

RESULTS = Path("results")
KIBI = 1024
PARTITION = "slurm_partition"
PLAIN_NAME = re.compile(r"[\w.,-]+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", nargs="+", default=[], help="as for snakemake")
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="as for snakemake")
    parser.add_argument("--config", nargs="+", default=[], help="KEY=VALUE, as for snakemake")
    arguments = parser.parse_args()
    if not Path("Snakefile").is_file():
        raise TopographyError(
            f"{Path.cwd()} has no Snakefile. Run this in the repository's folder."
        )
    levels = []
    for finding in findings(arguments):
        print(finding, flush=True)
        levels.append(finding.level)
    count = {level: levels.count(level) for level in (ERROR, WARNING)}
    print(f"{count[ERROR]} errors, {count[WARNING]} warnings")
    sys.exit(1 if count[ERROR] else 0)


def findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    """Everything worth a look; where one thing is wrong, what depends on it is left out."""
    broken = False
    for finding in [
        *preflight.versions(Path.cwd()),
        *preflight.profiles(arguments.profile, os.environ),
        *preflight.lock(Path.cwd()),
    ]:
        broken |= finding.level == ERROR and finding.subject != "lock"
        yield finding
    if broken:
        return
    run = snakemake_options(arguments)
    try:
        config = configuration_checks.read(Path.cwd(), changes(run))
        provenance.require_same_dataset(RESULTS / config["scale"], config["dataset"])
    except TopographyError as error:
        yield Finding(ERROR, "configuration", str(error))
        return
    yield Finding(
        OK, "configuration", f"scale {config['scale']}, {config['dataset']}, {config['device']}"
    )
    elsewhere = run.executor not in (None, "local")
    yield from preflight.device(config["device"], elsewhere)
    yield from preflight.data(config, RESULTS)
    yield from resources(config, run, elsewhere)
    if run.executor == "slurm":
        yield from preflight.slurm(
            partitions(run), config["device"] == "cuda", option(run, "slurm_status_command", "")
        )
    if "conda" in map(str, run.software_deployment_method):
        yield from preflight.conda()


def snakemake_options(arguments: argparse.Namespace) -> argparse.Namespace:
    """What Snakemake itself makes of these arguments and the profiles in force."""
    from snakemake.cli import parse_args

    given = {"--profile": arguments.profile, "--config": arguments.config}
    given["--configfile"] = [str(file) for file in arguments.configfile]
    command = [part for name, values in given.items() if values for part in (name, *values)]
    return parse_args(command)[1]


def changes(run: argparse.Namespace) -> dict[str, Any]:
    """What files, the command line and profiles change in the configuration."""
    from snakemake.cli import parse_config

    merged: dict[str, Any] = {}
    for file in run.configfile or []:
        merged = configuration.merge(merged, configuration.load(Path(file)))
    try:
        return configuration.merge(merged, parse_config(run.config))
    except ValueError as error:
        raise configuration.ConfigurationError(
            f"--config {' '.join(run.config)}: {error}"
        ) from None


def option(run: argparse.Namespace, name: str, otherwise: Any) -> Any:
    """An option of Snakemake or of a plugin, which may be missing or unset."""
    value = getattr(run, name, None)
    return value if isinstance(value, type(otherwise)) else otherwise


def asked(run: argparse.Namespace, rule: str, resource: str) -> Any:
    """What the profile asks for of a resource for a rule, None for nothing."""
    for resources in (run.set_resources.get(rule, {}), run.default_resources):
        if resource in resources:
            return stated(resources[resource].raw)
    return None


def stated(value: Any) -> Any:
    """A resource as a profile writes it; None where it is computed for each job.

    Snakemake takes text for a Python expression if it is one, hence quotes inside of quotes, and
    for itself otherwise.
    """
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value if PLAIN_NAME.fullmatch(value) else None


def partitions(run: argparse.Namespace) -> list[str]:
    """Names of the partitions in the profile, of whatever rule."""
    groups = [run.default_resources, *run.set_resources.values()]
    names = [stated(group[PARTITION].raw) for group in groups if PARTITION in group]
    return sorted({part for name in names if name for part in str(name).split(",")})


def resources(
    config: dict[str, Any], run: argparse.Namespace, elsewhere: bool
) -> Iterator[Finding]:
    """Disk and memory against the estimate."""
    import torch

    from topography.workflow import cost

    # After the import of torch, which is what takes most of it.
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI
    on_gpu = config["device"] == "cuda" or (
        config["device"] == "auto" and torch.cuda.is_available()
    )
    stages = cost.stages(config, "cuda" if on_gpu else "cpu")
    needed = sum(stage.results + stage.checkpoints for stage in stages)
    own = RESULTS / config["scale"]
    present = sum(file.stat().st_size for file in own.rglob("*") if file.is_file())
    yield from preflight.disk(needed, present, RESULTS)
    by_rule: dict[str, int] = {}
    for stage in cost.stages(config, "cpu"):  # main memory
        by_rule[stage.rule] = max(by_rule.get(stage.rule, 0), base + stage.memory)
    if elsewhere:
        requests = {rule: asked(run, rule, "mem_mb") for rule in by_rule}
        known = {rule: size for rule, size in requests.items() if isinstance(size, int)}
        yield from preflight.requested_memory(by_rule, known)
    else:
        # With device: auto Snakemake does not count the GPU, and starts a job on every core.
        at_a_time = 1 if config["device"] == "cuda" else option(run, "cores", os.cpu_count() or 1)
        available = preflight.available_memory()
        yield from preflight.memory("main", max(by_rule.values()), at_a_time, available)
        if torch.cuda.is_available() and on_gpu:
            largest = max(stage.memory for stage in stages)
            yield from preflight.memory("GPU", largest, at_a_time, torch.cuda.mem_get_info()[0])


if __name__ == "__main__":
    command_line.run(main)
