"""A machine without Snakemake runs the commands that a dry run lists, as docs/cluster.md has it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.clones import REPOSITORY, SMOKE, Workflow

SECTION = "## A machine without Snakemake"


def documented_commands() -> list[str]:
    """Commands of the section, in its order."""
    text = (REPOSITORY / "docs/cluster.md").read_text().split(SECTION)[1].split("\n## ")[0]
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


@pytest.mark.slow
def test_listed_commands_make_what_snakemake_would_make(clone: Workflow, tmp_path: Path) -> None:
    data, plan, extract, folders, run = documented_commands()
    # The target is the documented one; the scale is smoke, and the perceptron stands for all.
    documented = re.fullmatch(
        r"snakemake -n (\S+) --until (\w+) --config scale=paper device=cuda > plan.txt", plan
    )
    target, last = documented.groups()
    mine = (*SMOKE, "device=cpu", "only=[fcp]")
    wanted = (target, "--until", last, *mine)
    assert data == "snakemake --cores 1 data"
    clone.run("data", "--cores", "1", *SMOKE)
    (clone.folder / "plan.txt").write_text(clone.run("-n", *wanted).stdout)

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
    assert clone.jobs(*wanted) == []
    assert clone.rules(target, *mine) == {"collect_barriers", "plot_barriers", "publish_figure"}
