"""What happens to the whole workflow when processes, disks and files fail."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chaos import TARGET, Unbroken, one_round, prepare, results, undisturbed
from support.clones import REPOSITORY, SMOKE, Workflow
from support.waiting import wait_until
from topography.storage import StorageError, read_table, read_tensors, write_table, write_tensors

linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes as Linux can")


# Killed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, Unbroken]:
    """A copy with one small network, after a run that nobody disturbed, and what that made."""
    workflow = prepare(tmp_path_factory.mktemp("small") / "clone")
    return workflow, undisturbed(workflow, TARGET)


@linux
@pytest.mark.slow
def test_what_is_killed_and_repeated_ends_as_if_nobody_had_disturbed_it(
    small: tuple[Workflow, Unbroken],
) -> None:
    """Two rounds; `make chaos` does twenty."""
    workflow, unbroken = small
    chance = random.Random(0)
    rounds = [one_round(workflow, TARGET, unbroken, chance, kills=1) for _ in range(2)]
    assert [done.differences for done in rounds] == [[], []]
    assert [done.left_running for done in rounds] == [0, 0]
    assert any(done.kills for done in rounds)


@linux
@pytest.mark.slow
def test_a_damaged_result_is_refused_and_made_again(small: tuple[Workflow, Unbroken]) -> None:
    """A flipped bit that left the time of the file alone, as a failing disk does it."""
    workflow, unbroken = small
    file = workflow.folder / "results/smoke/training/fcp/sgd/seeds_0-1.runs.csv"
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    # Forced, since nothing that exists and is not outdated is looked at again.
    command = ["--cores", "2", TARGET, "--forcerun", "select_networks", *SMOKE, "device=cpu"]
    refused = workflow.run(*command, check=False)
    assert refused.returncode != 0
    assert "seeds_0-1.runs.csv is damaged or was changed" in refused.stderr
    assert "Delete it and run the workflow again" in refused.stderr
    file.unlink()
    workflow.run(*command)
    assert results(workflow) == unbroken.results


# Damaged ------------------------------------------------------------------------------------------


def test_damage_of_any_result_is_noticed(finished: Workflow, tmp_path: Path) -> None:
    """One flipped bit and one cut, at random places, of every table and every file of tensors."""
    chance = random.Random(0)
    folder = finished.folder / "results"
    tables = [file for file in folder.rglob("*.csv") if file.parent != folder]  # not the copies
    tensors = list(folder.rglob("*.safetensors"))
    assert len(tables) > 60 and len(tensors) > 40
    for file in [*tables, *tensors]:
        copy = tmp_path / file.name
        for beside in file.parent.glob(f"{file.name}*"):
            shutil.copy(beside, tmp_path)
        read = read_table if file.suffix == ".csv" else read_tensors
        read(copy)
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        for damaged in (flipped, content[: chance.randrange(len(content))]):
            copy.write_bytes(damaged)
            with pytest.raises(StorageError, match="damaged"):
                read(copy)


# Two at once --------------------------------------------------------------------------------------

WAITING = """\
import sys, time
from pathlib import Path
Path("started").touch()
while not Path("go").exists():
    time.sleep(0.05)
Path(sys.argv[-1]).touch()
"""


def test_a_second_run_at_the_same_time_is_refused_with_advice(clone: Workflow) -> None:
    (clone.folder / "scripts/prepare_dataset.py").write_text(WAITING)
    command = ["--cores", "1", "results/data/digits.safetensors", *SMOKE]
    first = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *command],
        cwd=clone.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until((clone.folder / "started").exists)
        second = clone.run(*command, check=False)
        assert second.returncode != 0
        said = second.stdout + second.stderr
        assert f"Another run is at work in this folder: process {first.pid} on " in said
        assert "Wait until it ends" in said
        assert "Traceback" not in said
        clone.run("-n", *command)  # looking is allowed
        (clone.folder / "go").touch()
        assert first.wait(120) == 0
    finally:
        first.kill()


# Asked to stop, and full disks --------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, as the workflow makes them."""
    folder = tmp_path_factory.mktemp("data")
    script(
        "prepare_dataset.py",
        "--dataset",
        "digits",
        "--raw-folder",
        folder,
        "--output",
        folder / "digits",
    )
    return folder / "digits"


def command(name: str, *arguments: object) -> list[str]:
    """A command line of one of the scripts."""
    return [sys.executable, str(REPOSITORY / "scripts" / name), *map(str, arguments)]


def script(name: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts."""
    return subprocess.run(command(name, *arguments), capture_output=True, text=True, check=check)


def training(data: Path, folder: Path, epochs: int, checkpoint: Path) -> list[object]:
    """Arguments of a training of two seeds with its results in a folder."""
    return [
        *["--data", data, "--train-images", 100, "--test-images", 50, "--architecture", "fcp"],
        *["--optimizer", "sgd", "--first-seed", 0, "--last-seed", 1, "--device", "cpu"],
        "--optimizer-settings",
        f'{{"learning_rate": 0.1, "batch_size": 10, "epochs": {epochs}}}',
        *["--weights", folder / "weights.safetensors", "--history", folder / "history.csv"],
        *["--runs", folder / "runs.csv", "--checkpoint", checkpoint],
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def stop_at_work(announced: str, name: str, *arguments: object) -> None:
    """SIGTERM to a script soon after it has announced its work: it says how to go on and ends."""
    job = subprocess.Popen(command(name, *arguments), stderr=subprocess.PIPE, text=True)
    assert announced in job.stderr.readline()  # it is at work and heeds signals
    job.send_signal(signal.SIGTERM)
    said = job.communicate(timeout=30)[1]
    assert job.returncode == 1
    assert "error: stopped by SIGTERM; run the same command again to go on" in said


def test_a_training_saves_its_state_within_the_grace_of_slurm(data: Path, tmp_path: Path) -> None:
    """Slurm sends SIGTERM and, by default 30 s later, SIGKILL."""
    checkpoint = tmp_path / "checkpoint.safetensors"
    arguments = training(data, tmp_path / "broken", 400, checkpoint)
    stop_at_work("400 epochs", "train.py", *arguments)
    assert checkpoint.exists()
    assert not (tmp_path / "broken").exists()
    again = script("train.py", *arguments)
    assert f"going on from {checkpoint}" in again.stderr
    script("train.py", *training(data, tmp_path / "unbroken", 400, tmp_path / "other"))
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


def test_so_does_a_path_search_between_two_steps(data: Path, tmp_path: Path) -> None:
    """All pairs of the job are searched side by side."""
    weights = np.random.RandomState(0).normal(0.0, 0.1, (3, 42_200)).astype(np.float32)
    write_tensors(tmp_path / "set.safetensors", {"weights": weights})
    write_table(tmp_path / "pairs.csv", pd.DataFrame({"i": [0, 0, 1], "j": [1, 2, 2]}))

    def arguments(name: str) -> list[object]:
        return [
            *["--data", data, "--train-images", 100, "--test-images", 50, "--architecture", "fcp"],
            *["--landscape", "train", "--set", tmp_path / "set.safetensors", "--device", "cpu"],
            *["--pairs", tmp_path / "pairs.csv", "--first", 0, "--last", 2],
            "--path-settings",
            '{"terms": 4, "points": 9, "fine_points": 25, "penalty": 1e-4, "steps": 200, '
            '"learning_rate": 1e-3, "keep": "lowest", "images_per_step": null, "images_seed": 0, '
            '"precision": "exact"}',
            *["--output", tmp_path / name, "--checkpoint", tmp_path / f"checkpoint of {name}"],
        ]

    stop_at_work("200 steps", "find_paths.py", *arguments("broken"))
    assert not (tmp_path / "broken").exists()
    again = script("find_paths.py", *arguments("broken"))
    assert f"going on from {tmp_path}/checkpoint of broken" in again.stderr
    script("find_paths.py", *arguments("unbroken"))
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "unbroken").read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("cannot mount a small file system: needs Linux and root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_leaves_earlier_results_alone(
    small_disk: Path, data: Path, tmp_path: Path
) -> None:
    write_table(small_disk / "earlier.csv", pd.DataFrame({"seed": [0]}))
    (small_disk / "weights.safetensors").write_text("former weights")
    before = contents(small_disk)
    arguments = training(data, small_disk, 1, tmp_path / "checkpoint")
    full = script("train.py", *arguments, check=False)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith(f"error: Cannot write {small_disk}/weights")
    assert "No space left on device" in full.stderr
    assert "that the disk has space left" in full.stderr
    assert contents(small_disk) == before
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    script("train.py", *arguments)
    assert read_tensors(small_disk / "weights.safetensors")["seeds"].tolist() == [0, 1]
