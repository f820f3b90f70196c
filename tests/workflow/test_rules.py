"""Rules that hold for all rules: style, logs, and values that reach the shell unharmed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.clones import REPOSITORY, SMOKE, Workflow

RECORDER = """\
import json, sys
from pathlib import Path

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
for name in {outputs}:
    Path(arguments[name]).write_text(json.dumps(arguments))
print("said on stdout")
print("said on stderr", file=sys.stderr)
"""
NASTY = """a  'b' "c" $(touch pwned) `touch pwned` ; {output} {{wildcards}} * \\ é"""


def test_snakemake_lint_finds_nothing(fresh: Workflow) -> None:
    assert "Congratulations" in fresh.run("--lint").stderr


def test_rules_are_formatted(fresh: Workflow) -> None:
    snakefmt = Path(sys.executable).with_name("snakefmt")
    done = subprocess.run(
        [snakefmt, "--check", "Snakefile", "rules"], cwd=fresh.folder, check=False
    )
    assert done.returncode == 0


def rules_on_gpu() -> set[str]:
    """Names of the rules that ask for a GPU, and of those made from them."""
    rules = "".join(file.read_text() for file in (REPOSITORY / "rules").rglob("*.smk"))
    own = re.findall(r"^rule (\w+):\n(?:(?: .*)?\n)*? +gpu=", rules, re.MULTILINE)
    made = re.findall(r"^use rule (\w+) as (\w+) with:$", rules, re.MULTILINE)
    return {*own, *(name for base, name in made if base in own)}


def test_the_cluster_profile_knows_every_rule_that_asks_for_a_gpu() -> None:
    on_gpu = rules_on_gpu()
    assert {"train_networks", "train_variant", "record_geometry"} <= on_gpu
    profile = yaml.safe_load((REPOSITORY / "profiles/slurm/config.yaml").read_text())
    assert set(profile["set-resources"]) == on_gpu
    assert set(profile["set-threads"]) == on_gpu


def test_trainings_come_before_all_that_could_run_instead(clone: Workflow) -> None:
    """What is slowest would be left for the end otherwise, as chance will have it."""
    clone.run("data", "--cores", "1", *SMOKE)
    listing = clone.run("-n", "--cores", "1", *SMOKE).stdout
    priorities = re.findall(r"rule train_networks:\n(?:    .*\n)*?    priority: 1\n", listing)
    assert len(priorities) == listing.count("rule train_networks:") > 0
    rules = [job.rule for job in clone.jobs("--cores", "1", *SMOKE)]
    last_training = len(rules) - rules[::-1].index("train_networks")
    assert "find_paths" not in rules[:last_training]


def test_a_data_source_reaches_the_script_as_it_is(clone: Workflow) -> None:
    script = clone.folder / "scripts/prepare_dataset.py"
    script.write_text(RECORDER.format(outputs=["--output"]))
    output = "results/data/digits.safetensors"
    clone.run("--cores", "1", output, "--config", "scale=smoke", f"data_source={NASTY}")
    assert json.loads((clone.folder / output).read_text())["--source"] == NASTY
    assert not (clone.folder / "pwned").exists()


@pytest.mark.parametrize("value", [NASTY, "", "auto"])
def test_settings_reach_the_script_as_they_are(clone: Workflow, tmp_path: Path, value: str) -> None:
    (clone.folder / "scripts/prepare_dataset.py").write_text(RECORDER.format(outputs=["--output"]))
    (clone.folder / "scripts/train.py").write_text(
        RECORDER.format(outputs=["--weights", "--history", "--runs"])
    )
    odd = clone.folder / "scripts/topography/architectures/odd.py"
    odd.write_text("ARCHITECTURE = make_class()\n")
    settings = {"label": value, "numbers": [1, 2.5], "nothing": None}
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"architectures": {"odd": settings}}))
    output = "results/smoke/training/odd/sgd/seeds_0-3.runs.csv"
    clone.run("--cores", "1", output, *SMOKE, "--configfile", str(file))
    given = json.loads((clone.folder / output).read_text())
    assert json.loads(given["--architecture-settings"]) == settings
    assert json.loads(given["--optimizer-settings"])["epochs"] == 3
    assert (given["--first-seed"], given["--last-seed"]) == ("0", "3")
    assert not (clone.folder / "pwned").exists()

    log = clone.folder / "results/smoke/logs/train_networks/odd/sgd/seeds_0-3.log"
    # In either order: Python keeps what goes to a file on stdout back until it ends.
    assert sorted(log.read_text().splitlines()) == ["said on stderr", "said on stdout"]


def test_a_failed_job_shows_its_log_and_leaves_no_output(clone: Workflow) -> None:
    script = clone.folder / "scripts/prepare_dataset.py"
    script.write_text(
        RECORDER.format(outputs=["--output"]) + 'sys.exit("error: the cause of it all")\n'
    )
    output = "results/data/digits.safetensors"
    done = clone.run("--cores", "1", output, *SMOKE, check=False)
    assert done.returncode != 0
    assert "error: the cause of it all" in done.stderr
    assert not (clone.folder / output).exists()


def test_commands_run_with_the_python_that_runs_snakemake(
    clone: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (clone.folder / "scripts/prepare_dataset.py").write_text(
        "import sys\nfrom pathlib import Path\nPath(sys.argv[-1]).write_text(sys.prefix)\n"
    )
    output = "results/data/digits.safetensors"
    clone.run("--cores", "1", output, *SMOKE)
    assert (clone.folder / output).read_text() == sys.prefix
