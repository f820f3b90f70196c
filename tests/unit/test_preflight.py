"""What the doctor finds, in folders and with commands made for each case."""

import os
import sys
from pathlib import Path

import pytest

from support.clones import REPOSITORY
from topography.datasets import load_dataset, write_dataset
from topography.workflow import preflight
from topography.workflow.preflight import ERROR, OK, WARNING, Finding

CONFIG = {
    "scale": "smoke",
    "device": "cpu",
    "dataset": "digits",
    "data_source": "download",
    "architectures": {"fcp": {}},
    "images": {"train": 300, "test": 100},
    "optimizers": {},
    "training": {},
    "selection": {},
    "pairs": {},
    "paths": {},
    "converged": {},
}


def levels(findings) -> list[str]:
    return [finding.level for finding in findings]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Commands of their own: write one with commands(name, shell text); there are no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, text: str = "") -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    return write


def test_a_finding_is_one_aligned_line() -> None:
    assert str(Finding(OK, "python", "3.12.1")) == "ok       python         3.12.1"
    line = str(Finding(ERROR, "slurm", "sinfo fails:\n no host", "Ask"))
    assert line == "error    slurm          sinfo fails: no host. Ask"


# Versions and profiles ----------------------------------------------------------------------------


def project(folder: Path, python: str, packages: dict[str, str]) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nrequires-python = "{python}"\n')
    entries = [f'[[package]]\nname = "{name}"\nversion = "{packages[name]}"' for name in packages]
    (folder / "uv.lock").write_text("\n".join(entries))
    return folder


def test_versions_are_compared_with_the_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"torch": "2.15.0+cu132", "torchvision": "0.29.1", "snakemake": "9.27.1"}

    def version(name: str) -> str:
        if name not in installed:
            raise preflight.importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(preflight.importlib.metadata, "version", version)
    plugin = "snakemake-executor-plugin-slurm"
    locked = {"torch": "2.15.0", "torchvision": "0.29.2", "snakemake": "9.27.1", plugin: "2.8.0"}
    folder = project(tmp_path, ">=3.11,<4", locked)
    python, *packages = preflight.versions(folder)
    assert (python.level, python.subject) == (OK, "python")
    assert {finding.subject: finding.level for finding in packages} == {
        "torch": OK,
        "torchvision": WARNING,
        "snakemake": OK,
        "slurm plugin": ERROR,
    }
    assert "make setup" in packages[-1].fix


def test_a_python_that_is_too_old_is_an_error(tmp_path: Path) -> None:
    newer = f">={sys.version_info.major}.{sys.version_info.minor + 1}"
    assert next(preflight.versions(project(tmp_path, newer, {}))).level == ERROR


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a default profile, and a home without any."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    write_profile(work / "profiles/default", "printshellcmds: true\nresources: {gpu: 1}\n")
    monkeypatch.chdir(work)
    return tmp_path


def write_profile(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)


def test_the_profile_that_is_found_is_named(profiles: Path) -> None:
    write_profile(profiles / "work/profiles/slurm", "executor: slurm\n")
    (profiles / "work/slurm").symlink_to("profiles/slurm")
    found, default = preflight.profiles(["slurm"], {})
    assert (found.level, default.level) == (OK, OK)
    assert str(profiles / "work/profiles/slurm/config.yaml") in found.text
    assert "profiles/default" in default.text


def test_a_profile_that_hides_the_users_own_is_a_warning(profiles: Path) -> None:
    write_profile(profiles / "work/slurm", "executor: slurm\n")
    write_profile(profiles / "home/snakemake/slurm", "executor: slurm\n")
    warning = [entry for entry in preflight.profiles(["slurm"], {}) if entry.level == WARNING]
    assert [str(profiles / "home/snakemake/slurm") in entry.text for entry in warning] == [True]


def test_the_users_own_profile_is_found_where_there_is_none_here(profiles: Path) -> None:
    write_profile(profiles / "home/snakemake/mine", "cores: 1\n")
    found = next(preflight.profiles(["mine"], {}))
    assert found.level == OK
    assert str(profiles / "home/snakemake/mine") in found.text


def test_a_profile_that_does_not_exist_is_an_error(profiles: Path) -> None:
    assert levels(preflight.profiles(["gpu"], {})) == [ERROR, OK]


def test_keys_that_the_default_profile_overrides_are_a_warning(profiles: Path) -> None:
    write_profile(profiles / "work/many", "cores: 1\nresources: {gpu: 4}\n")
    warning = [entry for entry in preflight.profiles(["many"], {}) if entry.level == WARNING]
    assert [entry.text.startswith("resources of") for entry in warning] == [True]


def test_a_profile_from_the_environment_is_a_warning(profiles: Path) -> None:
    write_profile(profiles / "work/quiet", "cores: 1\n")
    environment = {"SNAKEMAKE_PROFILE": "quiet"}
    assert levels(preflight.profiles([], environment)) == [WARNING, OK, OK]
    assert levels(preflight.profiles(["none"], environment)) == [OK]


# The device ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "gpus", "wanted", "elsewhere", "driver", "level"),
    [
        ("13.2", 1, "cuda", False, True, OK),
        ("13.2", 1, "auto", False, True, OK),
        ("13.2", 0, "cuda", False, True, ERROR),
        ("13.2", 0, "cuda", True, False, OK),
        ("13.2", 0, "auto", False, True, WARNING),
        ("13.2", 0, "auto", False, False, OK),
        (None, 0, "cuda", True, False, ERROR),
        (None, 0, "auto", False, True, WARNING),
        (None, 0, "auto", False, False, OK),
        (None, 0, "cpu", False, True, OK),
    ],
)
def test_the_build_of_torch_must_suit_the_device(
    commands, monkeypatch, build, gpus, wanted, elsewhere, driver, level
) -> None:
    import torch

    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "GPU of a test")
    if driver:
        commands("nvidia-smi")
    (finding,) = preflight.device(wanted, elsewhere)
    assert finding.level == level


# Data, disk, memory -------------------------------------------------------------------------------


def test_data_is_made_damaged_or_too_small(tmp_path: Path) -> None:
    (before,) = preflight.data(CONFIG, tmp_path)
    assert before.level == OK
    assert "not made yet" in before.text
    assert list(tmp_path.iterdir()) == []

    path = tmp_path / "data/digits.safetensors"
    write_dataset(path, load_dataset("digits", tmp_path, "download"))
    assert levels(preflight.data(CONFIG, tmp_path)) == [OK]
    more = {**CONFIG, "architectures": {"fcp": {"override": {"images": {"test": 298}}}}}
    assert levels(preflight.data(more, tmp_path)) == [ERROR]

    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (damaged,) = preflight.data(CONFIG, tmp_path)
    assert damaged.level == ERROR
    assert "checksum" in damaged.text


def test_images_that_an_architecture_does_not_read_are_an_error(tmp_path: Path) -> None:
    config = {**CONFIG, "architectures": {"fcp": {}, "mlp": {"inputs": 3072}}}
    write_dataset(tmp_path / "data/digits.safetensors", load_dataset("digits", tmp_path, ""))
    for results in (tmp_path, tmp_path / "nothing made yet"):
        (finding,) = preflight.data(config, results)
        assert finding.level == ERROR
        assert "mlp reads images of 3072 numbers" in finding.text


def test_a_folder_without_the_files_is_an_error(tmp_path: Path) -> None:
    config = {**CONFIG, "dataset": "mnist", "data_source": str(tmp_path / "nowhere")}
    (finding,) = preflight.data(config, tmp_path)
    assert finding.level == ERROR
    assert "nowhere" in finding.text


@pytest.mark.parametrize("second_answers", [True, False])
def test_one_mirror_that_answers_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second_answers: bool
) -> None:
    asked = []

    def refusal(mirror: str, file: str) -> str | None:
        assert file == "train-images-idx3-ubyte.gz"
        asked.append(mirror)
        return None if second_answers and len(asked) == 2 else f"{mirror}: no route"

    monkeypatch.setattr(preflight, "_refusal", refusal)
    config = {**CONFIG, "dataset": "fashion_mnist"}
    (finding,) = preflight.data(config, tmp_path)
    assert finding.level == (OK if second_answers else ERROR)
    assert second_answers or "snakemake --cores 1 data" in finding.fix
    assert second_answers or "--config data_source=" in finding.fix


def test_an_archive_is_asked_for_and_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(preflight, "_refusal", lambda *request: asked.append(request))
    (finding,) = preflight.data({**CONFIG, "dataset": "cifar10"}, tmp_path)
    assert finding.level == OK
    assert asked == [("https://www.cs.toronto.edu/~kriz/", "cifar-10-binary.tar.gz")]


def test_disk_is_compared_with_what_is_still_to_come(tmp_path: Path) -> None:
    free = preflight.shutil.disk_usage(tmp_path).free
    folder = tmp_path / "results/not/there"
    assert levels(preflight.disk(free // 4, 0, folder)) == [OK]
    assert levels(preflight.disk(3 * free // 4, 0, folder)) == [WARNING]
    assert levels(preflight.disk(3 * free // 4, free // 2, folder)) == [OK]
    assert levels(preflight.disk(2 * free, 0, folder)) == [ERROR]


def test_memory_of_jobs_side_by_side() -> None:
    assert levels(preflight.memory("main", 10, 2, 20)) == [OK]
    (tight,) = preflight.memory("main", 10, 3, 29)
    assert (tight.level, tight.fix) == (WARNING, "Use --cores 2")
    assert levels(preflight.memory("main", 10, 1, 9)) == [ERROR]
    assert 0 < preflight.available_memory() < 1e14


def test_memory_that_the_profile_asks_for() -> None:
    needed = {"train_networks": 2_000_000_000, "find_paths": 1_000_000_000}
    asked = {"train_networks": 1999, "find_paths": 1000}
    assert levels(preflight.requested_memory(needed, asked)) == [ERROR, OK]
    assert levels(preflight.requested_memory(needed, {})) == []


# Slurm, conda, the lock ---------------------------------------------------------------------------

PARTITIONS = "echo 'cpu (null)'; echo 'fast gpu:h100:4'"


def cluster(commands, sinfo: str = PARTITIONS, sacct: str = "") -> None:
    commands("sbatch")
    commands("squeue")
    commands("sinfo", sinfo)
    commands("sacct", sacct)


def test_slurm_that_answers(commands) -> None:
    cluster(commands)
    slurm, accounting = preflight.slurm(["fast"], True, "squeue")
    assert (slurm.level, accounting.level) == (OK, OK)
    assert slurm.text == "answers; partitions cpu, fast"
    assert accounting.text == "on"


def test_without_accounting_jobs_must_be_followed_with_squeue(commands) -> None:
    cluster(commands, sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert levels(preflight.slurm([], True, "squeue")) == [OK, OK]
    accounting = list(preflight.slurm([], True, ""))[-1]
    assert accounting.level == ERROR
    assert "storage is disabled" in accounting.text
    assert "slurm-status-command: squeue" in accounting.fix


def test_partitions_and_gpus_that_are_not_there(commands) -> None:
    cluster(commands, sinfo="echo 'cpu (null)'")
    assert levels(preflight.slurm(["fast", "cpu"], True, "squeue")) == [OK, ERROR, WARNING, OK]
    assert levels(preflight.slurm(["cpu"], False, "squeue")) == [OK, OK]


def test_slurm_that_is_not_there_or_fails_or_hangs(commands, monkeypatch) -> None:
    assert levels(preflight.slurm([], False, "squeue")) == [ERROR]
    cluster(commands, sinfo="echo 'no controller' >&2; exit 1")
    (finding,) = preflight.slurm([], False, "squeue")
    assert "no controller" in finding.text
    monkeypatch.setattr(preflight, "PATIENCE", 0.2)
    cluster(commands, sinfo="exec /bin/sleep 60")
    (finding,) = preflight.slurm([], False, "squeue")
    assert "no answer" in finding.text


def test_slurm_is_asked_as_snakemake_will_ask_it(commands, monkeypatch) -> None:
    cluster(commands, sinfo=f'[ -z "$SLURM_CONF" ] && {{ {PARTITIONS}; }}')
    monkeypatch.setenv("SLURM_CONF", "/my/slurm.conf")
    assert levels(preflight.slurm([], False, "squeue")) == [OK, OK]
    cluster(commands, sinfo="exit 1")
    (finding,) = preflight.slurm([], False, "squeue")
    assert "SLURM_CONF" in finding.fix


def test_conda_must_run(commands) -> None:
    assert levels(preflight.conda()) == [ERROR]
    commands("conda", "echo conda 25.3.0")
    assert [str(finding) for finding in preflight.conda()] == [
        "ok       conda          conda 25.3.0"
    ]


def test_the_lock_of_a_run_that_is_gone_or_at_work(tmp_path: Path) -> None:
    assert levels(preflight.lock(tmp_path)) == [OK]
    hold = "import sys; from topography.workflow import run_lock; run_lock.hold(run_lock.PLACE)"
    with preflight.subprocess.Popen(
        [sys.executable, "-c", f"{hold}; print('held', flush=True); sys.stdin.read()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")},
        stdin=preflight.subprocess.PIPE,
        stdout=preflight.subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        (finding,) = preflight.lock(tmp_path)
        other.stdin.close()
    assert finding.level == ERROR
    assert f"process {other.pid}" in finding.text
    assert levels(preflight.lock(tmp_path)) == [OK]
