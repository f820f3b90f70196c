"""A set of results as it is published: what made it, on what, and in which time.

A folder with figures, tables and the agreement report, the trained networks and the heights of
paths behind them, the configuration and the versions they were made with, a README that tells how
to make it again, and a manifest for scripts/verify.py.
"""

import importlib.metadata
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from topography import storage
from topography.jobs import orphans
from topography.naming import architecture_label
from topography.report import provenance
from topography.report.agreement import NOT_RUN
from topography.report.agreement_page import tallies
from topography.report.provenance import ProvenanceError

HOUR = 3600.0
CONFIGURATION, ENVIRONMENT, TIMES, README = (
    "configuration.yaml",
    "environment.csv",
    "times.csv",
    "README.md",
)
# Networks of all seeds with loss curves, logs and times: a run that finds them trains nothing.
# They come along as long as a git repository can well carry them.
TRAININGS = "trainings"
LARGEST_TRAININGS = 64 * 2**20  # bytes
# Tables of path searches, with their times: a run that finds them searches nothing.
SEARCHES = "searches"
SEARCH_STAGES = {"barriers": "find_paths", "converged": "converge_paths"}


def published_configuration(config: Mapping[str, Any]) -> str:
    """The complete configuration as YAML, to be given to Snakemake as a --configfile."""
    science = {
        name: value for name, value in config.items() if name not in provenance.WITHOUT_EFFECT
    }
    return yaml.safe_dump(science, sort_keys=False, width=100)


def environment() -> pd.DataFrame:
    """Versions of Python and of every installed ``package``, by name."""
    installed = {
        distribution.metadata["Name"].lower(): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    rows = [("python", platform.python_version()), *sorted(installed.items())]
    return pd.DataFrame(rows, columns=["package", "version"])


def processor() -> str:
    """The model name that Linux gives, or what Python knows."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def machine() -> str:
    """Processor, its cores and the operating system."""
    system = f"{platform.uname().system} {platform.machine()}"
    return f"{processor()}, {os.cpu_count()} cores, {system}"


def times(results: Path, benchmarks: Iterable[Path]) -> pd.DataFrame:
    """Jobs, ``wall_hours``, ``core_hours`` and ``largest_MB`` of each costly stage, by network.

    Hours are sums over the jobs. Snakemake writes what they are read from: of a job that was
    interrupted it knows the last start only, and it looks at the processor time every 30 seconds.

    Args:
        results: folder of the scale.
        benchmarks: ``results/benchmarks/<stage>/<architecture>/...tsv``, those of find_paths with
            the landscape before the architecture.

    Raises:
        ProvenanceError: there is none.
    """
    rows = []
    for file in benchmarks:
        stage, *names = file.relative_to(results / "benchmarks").parts
        network = names[1] if stage == SEARCH_STAGES["barriers"] else names[0]
        job = pd.read_csv(file, sep="\t").iloc[-1]
        rows.append((stage, network, job["s"], job["cpu_time"], job["max_rss"]))
    if not rows:
        raise ProvenanceError(f"{results} has no times of any job. Run the scale first.")
    jobs = pd.DataFrame(rows, columns=["stage", "network", "s", "cpu_time", "max_rss"])
    grouped = jobs.groupby(["stage", "network"], sort=False)
    return pd.DataFrame(
        {
            "jobs": grouped.size(),
            "wall_hours": (grouped["s"].sum() / HOUR).round(3),
            "core_hours": (grouped["cpu_time"].sum() / HOUR).round(3),
            "largest_MB": grouped["max_rss"].max().round(),
        }
    ).reset_index()


def trainings(results: Path, histories: Iterable[Path]) -> list[Path]:
    """Every file of some training jobs, logs and times included, named by their loss curves.

    Args:
        results: folder of the scale.
        histories: ``results/training/<architecture>/<optimizer>/<seeds>.history.csv``.
    """
    folders = ("training", "logs/train_networks", "benchmarks/train_networks")
    jobs = [history.relative_to(results / folders[0]) for history in histories]
    return [
        file
        for job in jobs
        for folder in folders
        for file in sorted(
            (results / folder / job.parent).glob(job.name.removesuffix("history.csv") + "*")
        )
    ]


def searches(results: Path, tables: Iterable[Path], benchmarks: Iterable[Path]) -> list[Path]:
    """Every file about some path searches: tables with a row per pair, checksums and times.

    Args:
        results: folder of the scale.
        tables: ``results/barriers/<landscape>/<architecture>/<set>.csv`` and
            ``results/converged/<architecture>/<set>.csv``.
        benchmarks: as for `times`; those of other stages are left out.
    """
    folders = [results / "benchmarks" / stage for stage in SEARCH_STAGES.values()]
    measured = [file for file in benchmarks if set(folders) & set(file.parents)]
    found = [file for table in tables for file in table.parent.glob(f"{table.name}*")]
    return sorted([*found, *measured])


def copy_computed(results: Path, files: Iterable[Path], folder: Path) -> None:
    """Copy files of the scale's folder to where they would lie if that were `folder`."""
    for file in files:
        copy = folder / file.relative_to(results)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def can_be_published(files: Sequence[Path]) -> bool:
    """Whether there are trainings to go on from, and a repository can carry them."""
    return 0 < sum(file.stat().st_size for file in files) <= LARGEST_TRAININGS


def readme(
    run: Mapping[str, str],
    agreement: pd.DataFrame,
    measured: pd.DataFrame,
    folder: Path,
    networks: bool,
) -> str:
    """The page that opens the folder.

    run: description of the run, with ``device`` and ``date``. agreement: verdicts.
    measured: `times`. folder: where the set is to lie, as seen from the repository. networks:
    whether the trained networks are in it.
    """
    commit = run["commit"].split(",")[0]
    kept = " ".join(str(folder / name) for name in [SEARCHES, *[TRAININGS] * networks])
    judged = agreement[agreement["settings"] != NOT_RUN]
    missing = agreement.loc[agreement["settings"] == NOT_RUN, "network"].unique()
    verdicts = "; ".join(tallies(judged).values())
    lines = [
        f"# A reproduction of the paper, scale {run['scale']}",
        "",
        f"{verdicts}. See [`agreement.md`](agreement.md), or [`agreement.html`](agreement.html) "
        "with the figures."
        + (f" Not run, and not counted here: {', '.join(missing)}." if len(missing) else ""),
        "",
        f"Put together at commit {run['commit']}, with figures up to {run['date'][:10]}. Dataset "
        f"{run['dataset']}, seeds {run['seeds']}, trained on {run['device']}. The workflow ran on: "
        f"{machine()}.",
        "",
        "Results that existed already were kept, even if an earlier version of the code had made "
        "them. The JSON file beside a figure names its commit; for the rest, "
        f"`git log -- {kept}` says when they were added.",
        "",
        "## Make it again",
        "",
        "```console",
        f"$ cp {folder / CONFIGURATION} mine.yaml",
        *([f"$ git checkout {commit}"] if commit != provenance.UNKNOWN else []),
        f"$ snakemake --cores {os.cpu_count()} reproduction --configfile mine.yaml",
        "```",
        "",
        *(_without_training(run["scale"], folder) if networks else []),
        "## Check it",
        "",
        "```console",
        f"$ python scripts/verify.py {folder}",
        "```",
        "",
        "## What is here",
        "",
        "| file | what it holds |",
        "|---|---|",
        "| `agreement.*` | every number and claim of the paper beside ours, with verdicts |",
        "| `figures/` | the figures, with the numbers they show and where they come from |",
        "| `tables/` | Tables 1 and S1 |",
        *(
            [
                f"| `{TRAININGS}/` | networks of all seeds at both minima, with their loss curves, "
                "logs and times |"
            ]
            if networks
            else []
        ),
        f"| `{SEARCHES}/` | heights of the paths of every pair, at first and as the search "
        "continues, with times |",
        f"| `{CONFIGURATION}` | every setting |",
        f"| `{ENVIRONMENT}` | the version of every package |",
        f"| `{TIMES}` | the table below |",
        f"| `{provenance.MANIFEST}` | every file with its SHA-256 |",
        "",
        "## Time",
        "",
        "Hours are sums over the jobs of a stage; jobs ran side by side. An interrupted job counts "
        "from its last start.",
        "",
        "| stage | network | jobs | wall hours | core hours | largest MB |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.stage} | {architecture_label(row.network)} | {row.jobs} "
            f"| {row.wall_hours:.2f} | {row.core_hours:.2f} | {row.largest_MB:.0f} |"
            for row in measured.itertuples()
        ),
        f"| all | | {measured['jobs'].sum()} | {measured['wall_hours'].sum():.2f} "
        f"| {measured['core_hours'].sum():.2f} | |",
    ]
    return "\n".join([*lines, ""])


def _without_training(scale: str, folder: Path) -> list[str]:
    """Lines of the page: how to start from the networks that are there."""
    return [
        "## Go on from its networks",
        "",
        "The workflow does not repeat a training whose files are already in their place. In a "
        f"clone without results of scale {scale}, at the commit that holds this page (the one "
        "named above still holds the former publication):",
        "",
        "```console",
        "$ snakemake --cores 1 data",
        f"$ mkdir -p results/{scale} && cp -r {folder / TRAININGS}/. results/{scale}/",
        f"$ snakemake --cores {os.cpu_count()} reproduction --configfile mine.yaml",
        "```",
        "",
        "with `mine.yaml` as above, or changed: other pairs, other path searches, more networks.",
        "",
        "If the pairs and the settings of the searches stay the same, the searches can be kept "
        "too. Their files must be newer than those of the pairs, so make the pairs first:",
        "",
        "```console",
        f"$ snakemake --cores {os.cpu_count()} reproduction --until sample_pairs"
        " --configfile mine.yaml",
        f"$ cp -r {folder / SEARCHES}/. results/{scale}/",
        f"$ snakemake --cores {os.cpu_count()} reproduction --configfile mine.yaml",
        "```",
        "",
    ]


def local_paths(config: Mapping[str, Any]) -> list[str]:
    """Paths of this machine that results may have been made from."""
    weights = [
        file
        for optimizers in config.get("weights", {}).values()
        for files in optimizers.values()
        for file in files.values()
    ]
    given = [path for path in (config["data_source"], *weights) if Path(path).is_absolute()]
    return [str(Path.cwd()), *given]


def refuse_paths(folder: Path, paths: Iterable[str]) -> None:
    """Make sure that no file below the folder names a path of this machine.

    The end of another path is none: /data is not in results/data.

    Raises:
        ProvenanceError: with the file and the path.
    """
    patterns = {path: rb"(?<![\w.-])" + re.escape(path.encode()) + rb"(?![\w-])" for path in paths}
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        for path, pattern in patterns.items():
            if re.search(pattern, content):
                raise ProvenanceError(
                    f"{file.relative_to(folder)} names the path {path}, which is of this machine "
                    "only. Name data and weights relative to the repository, and delete and "
                    "remake what that file is a copy of."
                )


@contextmanager
def replaced(target: Path, scale: str) -> Iterator[Path]:
    """Give an empty folder beside the target; on success it takes the target's place.

    Raises:
        ProvenanceError: the target is something else than a published set, or one of another scale.
    """
    if target.exists() and not (target / provenance.MANIFEST).is_file():
        raise ProvenanceError(
            f"{target} exists and is no published set of results. Name another folder."
        )
    former_scale = _scale_of(target)
    if former_scale not in (None, scale):
        raise ProvenanceError(
            f"{target} holds the results of scale {former_scale}, which those of scale {scale} "
            f"would replace. If you want that, remove {target} first."
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    former = temporary.with_name(f"{temporary.name}.former")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        orphans.refuse_orphan()
        if target.exists():
            target.rename(former)
        temporary.rename(target)
    except OSError as error:
        raise storage.cannot_write(target, error) from error
    finally:
        if former.exists() and not target.exists():  # the second rename failed
            former.rename(target)
        for folder in (temporary, former):
            shutil.rmtree(folder, ignore_errors=True)


def _scale_of(target: Path) -> str | None:
    """The scale of a published set; None where none says its own."""
    file = target / CONFIGURATION
    return yaml.safe_load(file.read_text(encoding="utf-8"))["scale"] if file.is_file() else None
