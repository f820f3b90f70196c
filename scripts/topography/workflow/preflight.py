"""What could stop a run, or spoil it, found before it starts; each finding with its fix."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from packaging.specifiers import SpecifierSet

from topography.errors import TopographyError
from topography.workflow import run_lock
from topography.workflow.configuration import architecture_settings, for_architecture, load

Settings = Mapping[str, Any]

OK, WARNING, ERROR = "ok", "warning", "error"
PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "snakemake": "snakemake",
    "slurm plugin": "snakemake-executor-plugin-slurm",
}
SLURM_COMMANDS = ("sbatch", "squeue", "sinfo")
PATIENCE = 20.0  # seconds for a command of Slurm or a mirror to answer
MEGA, GIGA = 1e6, 1e9


@dataclass(frozen=True)
class Finding:
    """One thing looked at: "ok", "warning" (a run may work) or "error" (it cannot)."""

    level: str
    subject: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        said = " ".join(f"{self.text}. {self.fix}".split()) if self.fix else self.text
        return f"{self.level:<8} {self.subject:<14} {said}"


def versions(folder: Path) -> Iterator[Finding]:
    """Python and the packages, against pyproject.toml and uv.lock in the folder."""
    fix = "Run `make setup` and use .venv/bin/snakemake"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    python = ".".join(map(str, sys.version_info[:3]))
    if SpecifierSet(project["requires-python"]).contains(python):
        yield Finding(OK, "python", python)
    else:
        yield Finding(ERROR, "python", f"{python}, needed {project['requires-python']}", fix)
    locked = tomllib.loads((folder / "uv.lock").read_text())["package"]
    for subject, name in PACKAGES.items():
        pinned = [entry["version"] for entry in locked if entry["name"] == name]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(ERROR, subject, f"{name} is not installed", fix)
            continue
        if version.partition("+")[0] in pinned:  # +cu130 and the like say how it was built
            yield Finding(OK, subject, f"{version}, as in uv.lock")
        else:
            what = f"{version}, but uv.lock has {' or '.join(pinned)}; results may differ"
            yield Finding(WARNING, subject, what, fix)


def profiles(asked: Sequence[str], environment: Mapping[str, str]) -> Iterator[Finding]:
    """Which folders the profiles come from, and what profiles/default changes in them.

    asked: names given with --profile; environment: of the process, for SNAKEMAKE_PROFILE.
    """
    from snakemake.cli import get_appdirs, get_profile_dir

    names = [name for name in asked if name != "none"]
    inherited = environment.get("SNAKEMAKE_PROFILE")
    if inherited and not asked:
        names = inherited.split(",")
        yield Finding(
            WARNING,
            "profile",
            f"{inherited} is in force without being asked for, by SNAKEMAKE_PROFILE",
            "Give --profile, or --profile none, or unset that variable",
        )
    default = Path("profiles/default/config.yaml")
    winning = set(load(default)) if default.is_file() else set()
    for name in names:
        found = get_profile_dir(name)
        own_folder = Path(get_appdirs().user_config_dir)
        if found is None:
            yield Finding(
                ERROR,
                "profile",
                f"{name} is neither a folder here nor in {own_folder}",
                "Give the folder: --profile profiles/slurm",
            )
            continue
        file = found[1]
        yield Finding(OK, "profile", f"{name} is {file.resolve()}")
        hidden = own_folder / name
        if hidden.is_dir() and hidden.resolve() != found[0].resolve():
            yield Finding(
                WARNING,
                "profile",
                f"{name} here hides your own profile {hidden}",
                f"Should yours be used, give --profile {hidden}",
            )
        lost = sorted(set(load(file)) & winning)
        if lost:
            yield Finding(
                WARNING,
                "profile",
                f"{', '.join(lost)} of {file} have no effect, since {default} sets them too",
                f"Change them in {default}",
            )
    if winning:
        yield Finding(OK, "profile", f"{default} is read in any case")


def device(wanted: str, elsewhere: bool) -> Iterator[Finding]:
    """Whether torch was built for the device, and sees it.

    wanted: the key `device`; elsewhere: whether jobs run on other machines than this one.
    """
    import torch

    build = torch.version.cuda
    built = f"torch is built for CUDA {build}" if build else "torch is a build without CUDA"
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu":
        yield Finding(OK, "device", "cpu, as configured")
    elif gpus:
        yield Finding(OK, "device", f"{built} and sees {gpus} x {torch.cuda.get_device_name(0)}")
    elif build is None and (wanted == "cuda" or shutil.which("nvidia-smi")):
        yield Finding(
            ERROR if wanted == "cuda" else WARNING,
            "device",
            f"{built}, so that GPUs stay idle",
            "Run `make setup`; with conda packages of PyTorch see CONDA_OVERRIDE_CUDA in "
            "docs/cluster.md",
        )
    elif wanted == "cuda" and not elsewhere:
        yield Finding(
            ERROR,
            "device",
            f"{built}, but sees no GPU",
            "Run `nvidia-smi` to see why, or compute on the CPU with --config device=auto",
        )
    elif wanted == "cuda":
        yield Finding(OK, "device", f"{built}; no GPU here, jobs look for one on their nodes")
    elif shutil.which("nvidia-smi"):
        yield Finding(
            WARNING,
            "device",
            f"{built} but sees no GPU, so the CPU will be used",
            "Run `nvidia-smi`: the driver may be too old, or the GPU given to others",
        )
    else:
        yield Finding(OK, "device", "no GPU here: the CPU will be used")


def data(config: Settings, results: Path) -> Iterator[Finding]:
    """Whether the dataset is made, unharmed, and read by all architectures or, if it is not made,
    whether its source can be read.
    """
    from topography.architectures import get_architecture
    from topography.datasets import Dataset, load_dataset, read_dataset
    from topography.images import check_images

    def check(dataset: Dataset) -> None:
        for entry in config["architectures"]:
            architecture = get_architecture(entry, **architecture_settings(config, entry))
            check_images(dataset, path, architecture)

    name, source = config["dataset"], config["data_source"]
    path = results / "data" / f"{name}.safetensors"
    counts = [for_architecture(config, entry)["images"] for entry in config["architectures"]]
    most = {part: max(images[part] for images in counts) for part in ("train", "test")}
    make = "Make it where there is internet with `snakemake --cores 1 data`"
    if path.exists():
        try:
            check(read_dataset(path, most["train"], most["test"]))
        except TopographyError as error:
            yield Finding(ERROR, "data", str(error))
        else:
            yield Finding(OK, "data", f"{path} is there, and its checksum is right")
        return
    online = source == "download" or source.startswith("https://")
    if online and name in _mirrors():
        mirrors, file = _mirrors()[name]
        mirrors = mirrors if source == "download" else [source]
        refusals = [_refusal(mirror, file) for mirror in mirrors]
        if None in refusals:
            yield Finding(OK, "data", f"{path} is not made yet; its source answers")
        else:
            what = f"{path} is not made yet, and no mirror answers ({'; '.join(refusals)})"
            fix = f"{make} and copy it, or give a folder: --config data_source=/data/mnist"
            yield Finding(ERROR, "data", what, fix)
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(load_dataset(name, folder, source))
    except TopographyError as error:
        yield Finding(ERROR, "data", str(error))
    else:
        yield Finding(OK, "data", f"{path} is not made yet; its source is complete")


def _mirrors() -> dict[str, tuple[Sequence[str], str]]:
    """Of the datasets that are downloaded, the addresses that their modules try, and a file."""
    from torchvision.datasets import MNIST

    from topography.datasets import cifar10, fashion_mnist

    secure = [mirror for mirror in MNIST.mirrors if mirror.startswith("https://")]
    images = "train-images-idx3-ubyte.gz"
    return {
        "mnist": (secure, images),
        "fashion_mnist": (fashion_mnist.MIRRORS, images),
        "cifar10": (cifar10.MIRRORS, cifar10.FILE.archive),
    }


def _refusal(mirror: str, file: str) -> str | None:
    """Why a mirror does not give a file; None where it does."""
    address = f"{mirror.rstrip('/')}/{file}"
    try:
        request = urllib.request.Request(address, method="HEAD")
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except (OSError, ValueError) as error:
        return f"{mirror}: {error}"
    return None


def disk(needed: int, present: int, results: Path) -> Iterator[Finding]:
    """Room for the results. needed: bytes the scale takes; present: what is there already."""
    free = shutil.disk_usage(
        next(folder for folder in [results, *results.parents] if folder.exists())
    )
    missing = max(needed - present, 0)
    text = f"{missing / GIGA:.1f} GB to come, {free.free / GIGA:.0f} GB free in {results.resolve()}"
    if missing < free.free / 2:
        yield Finding(OK, "disk", text)
    else:
        fix = "Make room, or link results/ to a larger disk; quotas are not seen here"
        yield Finding(WARNING if missing < free.free else ERROR, "disk", text, fix)


def memory(whose: str, largest: int, at_a_time: int, available: int) -> Iterator[Finding]:
    """Room for the jobs on this machine.

    whose: "main" or "GPU" memory; largest: bytes of the largest job; at_a_time: jobs.
    """
    text = (
        f"{at_a_time} x {largest / GIGA:.1f} GB of {whose} memory for jobs side by side, "
        f"{available / GIGA:.0f} GB available"
    )
    if at_a_time * largest <= available:
        yield Finding(OK, "memory", text)
    elif largest <= available:
        yield Finding(WARNING, "memory", text, f"Use --cores {available // largest}")
    else:
        fix = "Lower training.seeds_per_job and pairs.per_job, or use a larger machine"
        yield Finding(ERROR, "memory", text, fix)


def available_memory() -> int:
    """Bytes this process and its children may still take: of the machine, or of its group."""
    limits = [psutil.virtual_memory().available]
    group, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if group.is_file() and group.read_text().strip() != "max":
        limits.append(int(group.read_text()) - int(used.read_text()))
    return max(min(limits), 0)


def requested_memory(needed: Mapping[str, int], asked: Mapping[str, float]) -> Iterator[Finding]:
    """Memory that the profile asks for. needed: bytes by rule; asked: MB by rule."""
    for rule, requested in asked.items():
        size = needed[rule] / MEGA
        text = f"{rule} needs {size:.0f} MB, the profile asks for {requested} MB"
        if size <= requested:
            yield Finding(OK, "memory", text)
        else:
            fix = f"Raise mem_mb under set-resources: {rule}: in the profile"
            yield Finding(ERROR, "memory", text, fix)


def slurm(partitions: Sequence[str], wants_gpu: bool, status_command: str) -> Iterator[Finding]:
    """Whether Slurm answers, and can tell when jobs end.

    partitions: those that the profile names; status_command: the profile's
    slurm-status-command, "" where it has none.
    """
    absent = [command for command in SLURM_COMMANDS if shutil.which(command) is None]
    if absent:
        fix = "Run on a login node of the cluster, after `module load slurm` where that is needed"
        yield Finding(ERROR, "slurm", f"no command {', '.join(absent)}", fix)
        return
    status, answer = _ask("sinfo", "--noheader", "--format=%R %G")
    if status:
        fix = "Ask who runs the cluster"
        if "SLURM_CONF" in os.environ:
            fix = "Snakemake's executor ignores SLURM_CONF: put the file where Slurm looks first"
        yield Finding(ERROR, "slurm", f"sinfo fails: {answer}", fix)
        return
    rows = [line.split(maxsplit=1) for line in answer.splitlines() if line.strip()]
    known = sorted({row[0] for row in rows})
    yield Finding(OK, "slurm", f"answers; partitions {', '.join(known)}")
    for partition in partitions:
        if partition not in known:
            yield Finding(
                ERROR,
                "slurm",
                f"the profile names partition {partition}, which does not exist",
                f"Use one of {', '.join(known)}",
            )
    if wants_gpu and not any("gpu" in row[-1] for row in rows):
        yield Finding(
            WARNING,
            "slurm",
            "no partition lists a GPU (sinfo's GRES)",
            "Ask who runs the cluster, or compute on CPUs: write device=cpu for device=cuda, in "
            "the profile or after --config",
        )
    accounting, answer = _ask("sacct", "--noheader", "--allocations", "--starttime=now")
    if accounting == 0:
        yield Finding(OK, "accounting", "on")
    elif status_command == "squeue":
        yield Finding(OK, "accounting", "off; jobs are followed with squeue")
    else:
        yield Finding(
            ERROR,
            "accounting",
            f"off ({answer}), so that the end of jobs would go unnoticed",
            "Write slurm-status-command: squeue into the profile",
        )


def _ask(*command: str) -> tuple[int, str]:
    """Exit status and answer, or complaint, of a command; 127 where there is none.

    Variables of Slurm are kept from it, as Snakemake's executor does.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SLURM_")
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {PATIENCE:.0f} s"
    except OSError as error:
        return 127, str(error)
    return done.returncode, (done.stderr if done.returncode else done.stdout).strip()


def conda() -> Iterator[Finding]:
    """Whether there is a conda for --sdm conda."""
    status, answer = _ask("conda", "--version")
    if status:
        fix = "Install Miniforge and activate it, or leave out --sdm conda"
        yield Finding(ERROR, "conda", f"does not run: {answer}", fix)
    else:
        yield Finding(OK, "conda", answer)


def lock(folder: Path) -> Iterator[Finding]:
    """Whether another run of the workflow holds the folder."""
    other = run_lock.holder(folder / run_lock.PLACE)
    if other is None:
        yield Finding(OK, "lock", "no other run in this folder")
    else:
        text = f"another run is at work in this folder: {other}"
        yield Finding(ERROR, "lock", text, "Let it end, or work in another clone")
