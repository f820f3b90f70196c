"""A copy of the repository as a clone would be, and Snakemake run in it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).parents[2]
SMOKE = ("--config", "scale=smoke")


@dataclass(frozen=True)
class Job:
    """One job of a dry run."""

    rule: str
    wildcards: dict[str, str]


@dataclass(frozen=True)
class Workflow:
    """The workflow in a folder of its own."""

    folder: Path

    def run(
        self, *arguments: str, check: bool = True, within: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake with these arguments; within: a command that runs it, such as unshare."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # A user's own profile must not decide how the tests end.
        environment.pop("SNAKEMAKE_PROFILE", None)
        # Nor a GPU, or what is measured and asked for differs; one may be asked for by a test.
        environment.setdefault("CUDA_VISIBLE_DEVICES", "")
        # Nor a Slurm that does not answer: the plugin asks it at every start, for ten seconds.
        environment.setdefault("SLURM_CONF", os.devnull)
        done = subprocess.run(
            [*within, sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake {arguments} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def jobs(self, *arguments: str) -> list[Job]:
        """What a run with these arguments would do, apart from target rules without a command."""
        listing = self.run("-n", *arguments).stdout
        jobs = []
        for block in re.split(r"\n(?=(?:local)?rule \w+:\n)", listing)[1:]:
            rule = re.match(r"(?:local)?rule (\w+):", block)[1]
            line = re.search(r"^ +wildcards: (.*)$", block, re.MULTILINE)
            pairs = re.findall(r"(\w+)=([^,]*)", line[1]) if line else []
            if rule not in ("all", "data", "figures", "tables", "geometry"):
                jobs.append(Job(rule, dict(pairs)))
        return jobs

    def rules(self, *arguments: str) -> set[str]:
        """Names of the rules that a run with these arguments would run."""
        return {job.rule for job in self.jobs(*arguments)}

    def copy(self, folder: Path) -> Self:
        """The same workflow with all its results in another folder, which must not exist."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return type(self)(folder)

    @contextmanager
    def edited(self, path: str, old: str, new: str) -> Iterator[None]:
        """A file of the workflow changed for a while; an empty `old` appends."""
        file = self.folder / path
        before = file.read_text()
        assert old in before, f"{old!r} is not in {path}"
        file.write_text(before.replace(old, new, 1) if old else before + new)
        try:
            yield
        finally:
            file.write_text(before)


def copy_repository(folder: Path) -> Workflow:
    """What git holds or would hold, without results: the same as a clone after a commit."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.is_symlink() or source.is_file():  # a deleted file may still be listed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return Workflow(folder)
