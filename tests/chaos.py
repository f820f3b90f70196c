"""Rounds of SIGKILL at random moments: a run that is killed and repeated ends as an unbroken one.

    python tests/chaos.py --rounds 20 --seed 0

Each round starts the workflow from nothing. Twice it kills a training, a path-finding job or
Snakemake itself at a random moment and gives the same command again; when that is done, every
result is compared, bit for bit, with those of a run that nobody disturbed. The rounds work in a
copy of the repository with one small network, one CPU thread per job, and checkpoints at every
opportunity. Linux only: victims are found in /proc.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from support.clones import Workflow, copy_repository
from topography.workflow.configuration import merge

# Victim -> rule whose jobs it is; in the order in which a run comes to them.
VICTIMS = {"training": "train_networks", "path finding": "find_paths", "Snakemake": None}
SCRIPTS = {"train_networks": "scripts/train.py", "find_paths": "scripts/find_paths.py"}
CHANGES = {
    "optimizers": {"sgd": {"epochs": 300}, "lbfgs": {"iterations": 60}},
    "training": {"seeds": 4, "seeds_per_job": 2},
    "paths": {"steps": 200},
}
TARGET = "results/smoke/barriers/train/fcp/sgd_test.csv"  # needs all stages that take long
TIMEOUT = 600  # seconds for one command: a hang is a failure


@dataclass(frozen=True)
class Unbroken:
    """What a run that nobody disturbs makes, and how long it and its jobs of some rules take."""

    results: dict[str, str]
    seconds: float
    job_seconds: dict[str, float]


@dataclass(frozen=True)
class Round:
    """What happened in one round: kills that hit, jobs that went on from a checkpoint, damage."""

    kills: list[str]
    resumed: int
    differences: list[str]
    left_running: int


def prepare(folder: Path) -> Workflow:
    """A copy of the repository with one network at scale smoke that saves all its states."""
    workflow = copy_repository(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["architectures"] = {"fcp": {"activation": "softplus"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    smoke = yaml.safe_load((folder / "config/smoke.yaml").read_text())
    del smoke["architectures"]
    smoke = merge(smoke, CHANGES)
    (folder / "config/smoke.yaml").write_text(yaml.safe_dump(smoke, sort_keys=False))
    replace(folder / "scripts/topography/checkpoint.py", "interval: float = 60.0", "0.0")
    return workflow


def replace(file: Path, definition: str, value: str) -> None:
    """Give a constant in the copy another value."""
    text = file.read_text()
    assert definition in text, f"{definition} is not in {file}"
    name = definition.rpartition(" ")[0]
    file.write_text(text.replace(definition, f"{name} {value}"))


def undisturbed(workflow: Workflow, target: str) -> Unbroken:
    """Run the workflow once without any harm."""
    started = time.monotonic()
    run = start(workflow, target)
    if run.wait(TIMEOUT) != 0:
        raise AssertionError((workflow.folder / "chaos.log").read_text())
    seconds = time.monotonic() - started
    benchmarks = workflow.folder / "results/smoke/benchmarks"
    job_seconds = {
        rule: max(pd.read_csv(file, sep="\t")["s"].max() for file in files)
        for rule in SCRIPTS
        if (files := list((benchmarks / rule).rglob("*.tsv")))
    }
    return Unbroken(results(workflow), seconds, job_seconds)


def one_round(
    workflow: Workflow, target: str, unbroken: Unbroken, chance: random.Random, kills: int = 2
) -> Round:
    """From nothing, through so many kills, to the end."""
    for name in ("results", ".snakemake"):
        shutil.rmtree(workflow.folder / name)
    (workflow.folder / "chaos.log").unlink()
    victims = sorted(chance.choices(list(VICTIMS), k=kills), key=list(VICTIMS).index)
    hits = []
    for victim in victims:
        run = start(workflow, target)
        rule = VICTIMS[victim]
        seconds = unbroken.seconds if rule is None else unbroken.job_seconds[rule]
        hit = kill(workflow, run, victim, chance.uniform(0.0, seconds), chance)
        hits += [hit] if hit else []
        run.wait(TIMEOUT)
        # An orphan is not waited for: the same command has to cope with it.
    if start(workflow, target).wait(TIMEOUT) != 0:
        raise AssertionError((workflow.folder / "chaos.log").read_text())
    found = results(workflow)
    names = sorted(unbroken.results.keys() | found.keys())
    logs = (workflow.folder / "results/smoke/logs").rglob("*.log")
    return Round(
        kills=hits,
        resumed=sum("going on from" in log.read_text() for log in logs),
        differences=[name for name in names if unbroken.results.get(name) != found.get(name)],
        left_running=sum(len(running(workflow, script)) for script in SCRIPTS.values()),
    )


def start(workflow: Workflow, target: str) -> subprocess.Popen[bytes]:
    """Start the workflow in the background."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # A user's own profile must not decide how this ends.
    environment.pop("SNAKEMAKE_PROFILE", None)
    command = [sys.executable, "-m", "snakemake", target, "--cores", "2"]
    with (workflow.folder / "chaos.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--config", "scale=smoke", "device=cpu"],
            cwd=workflow.folder,
            env=environment,
            stdout=log,
            stderr=log,
        )


def kill(
    workflow: Workflow,
    run: subprocess.Popen[bytes],
    victim: str,
    delay: float,
    chance: random.Random,
) -> str:
    """Kill the victim some time after it appeared; says what was hit, or nothing if too late."""
    rule = VICTIMS[victim]
    appeared = None
    while run.poll() is None:
        pids = [run.pid] if rule is None else running(workflow, SCRIPTS[rule])
        if pids and appeared is None:
            appeared = time.monotonic()
        if pids and time.monotonic() - appeared >= delay:
            try:
                os.kill(chance.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                return ""
            return f"{victim} after {delay:.1f} s"
        time.sleep(0.02)
    return ""


def running(workflow: Workflow, script: str) -> list[int]:
    """Processes at work on a script in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode().split("\0")
            if script in arguments and (process / "cwd").samefile(workflow.folder):
                found.append(int(process.name))
        except OSError:  # it has just ended, or is of another user
            continue
    return sorted(found)


def results(workflow: Workflow) -> dict[str, str]:
    """SHA-256 of every result, which logs and times are not.

    Files whose names begin with a point are what a killed writer had not published.
    """
    folder = workflow.folder / "results"
    return {
        str(name): hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        if not {"logs", "benchmarks"} & set(name.parts)
        and name.suffix != ".log"
        and name.name != "README.md"
        and not name.name.startswith(".")
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--target", default=TARGET, help="file to ask for (default: %(default)s)")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        workflow = prepare(Path(folder, "clone"))
        unbroken = undisturbed(workflow, arguments.target)
        print(f"unbroken: {len(unbroken.results)} results, {unbroken.seconds:.0f} s", flush=True)
        number = 0
        while number < arguments.rounds:
            done = one_round(workflow, arguments.target, unbroken, chance)
            number += bool(done.kills)  # a round whose kills all came too late does not count
            bad = done.differences or done.left_running
            failed += bool(bad)
            print(
                f"round {number}: killed {', '.join(done.kills) or 'nothing'}; {done.resumed} jobs "
                f"went on from a checkpoint; {done.left_running} left running; "
                f"different: {', '.join(done.differences) or 'nothing'}",
                flush=True,
            )
    print(f"{arguments.rounds - failed} of {arguments.rounds} rounds ended as the unbroken run")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
