"""A machine without Snakemake runs the commands that a dry run lists, as docs/cluster.md has it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from clones import REPOSITORY, SMOKE, Workflow

TARGET = "results/smoke/selection/fcp/sgd.csv"
SECTION = "## A machine without Snakemake"


def documented_commands() -> list[str]:
    """Commands of the section, in its order."""
    text = (REPOSITORY / "docs/cluster.md").read_text().split(SECTION)[1].split("\n## ")[0]
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


def test_listed_commands_make_what_snakemake_would_make(clone: Workflow, tmp_path: Path) -> None:
    data, plan, extract, folders, run = documented_commands()
    assert plan.startswith("snakemake -n ") and plan.endswith(" > plan.txt")
    assert data == "snakemake --cores 1 data"
    clone.run("data", "--cores", "1", *SMOKE)
    (clone.folder / "plan.txt").write_text(clone.run("-n", TARGET, *SMOKE).stdout)

    def shell(command: str, folder: Path) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path}
        subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True)

    shell(extract, clone.folder)
    bare = tmp_path / "bare"
    for name in ("scripts", "results/data"):
        shutil.copytree(clone.folder / name, bare / name)
    shutil.copy(clone.folder / "commands.sh", bare)
    shell(f"{folders} && {run}", bare)

    shutil.copytree(bare / "results", clone.folder / "results", dirs_exist_ok=True)
    assert clone.jobs(TARGET, *SMOKE) == []
    assert clone.rules("results/smoke/pairs/fcp/sgd_train.csv", *SMOKE) == {"sample_pairs"}
