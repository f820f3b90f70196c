"""Jobs on a pretended GPU: none of them mixes devices, and all end where they end on a CPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reference.data import REPOSITORY
from support.interruptions import KilledError
from support.job_scripts import CONVERGED, OUTPUTS, PATHS, SGD, Scripts
from support.pretend_gpu import pretended_gpu
from topography.checkpoint import Checkpoint
from topography.jobs import recorded_runs
from topography.storage import read_table, read_tensors
from topography.workflow import configuration_checks, cost, probe

ARCHITECTURES = ["fcp", "autoencoder", "lenet", "lstm"]
STOCHASTIC = {**PATHS, "keep": "mean", "images_per_step": 3}
JOBS = {
    "SGD": ("train", {"optimizer_settings": {**SGD, "momentum": 0.9, "weight_decay": 1e-3}}),
    "Adam": ("train", {"optimizer": "adam", "optimizer_settings": {**SGD, "learning_rate": 1e-3}}),
    "L-BFGS": ("train", {"optimizer": "lbfgs", "optimizer_settings": {"iterations": 3}}),
    "the lowest path": ("find_paths", {"path_settings": {**PATHS, "keep": "lowest"}}),
    "the mean path of random images": ("find_paths", {"path_settings": STOCHASTIC}),
    "converged paths": ("converge_paths", {"settings": {**CONVERGED, "first": STOCHASTIC}}),
}


@pytest.fixture
def scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Scripts:
    return Scripts(tmp_path, monkeypatch, request.param)


def written(scripts: Scripts, script: str) -> dict[str, np.ndarray | pd.DataFrame]:
    """What a job left, by name; the files are removed."""
    results = {}
    for output in OUTPUTS[script]:
        file = scripts.folder / output
        if script == "converge_paths" or output in ("history", "runs"):
            results[output] = read_table(file)
        else:
            results.update(read_tensors(file))
        file.unlink()
    return results


def assert_same(result: dict, expected: dict) -> None:
    assert result.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, pd.DataFrame):
            pd.testing.assert_frame_equal(result[name], values, rtol=1e-4)
        else:
            # Adam makes steps of any size of gradients that are next to nothing.
            atol = 0.1 * PATHS["learning_rate"] if name == "coefficients" else 1e-5
            np.testing.assert_allclose(result[name], values, rtol=1e-4, atol=atol, err_msg=name)


@pytest.mark.parametrize("scripts", ARCHITECTURES, indirect=True)
@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_where_it_ends_on_a_cpu(scripts: Scripts, job: str) -> None:
    script, settings = JOBS[job]
    scripts.run(script, device="cpu", **settings)
    expected = written(scripts, script)
    with pretended_gpu(scripts.patch) as gpu:
        scripts.run(script, **settings)
    assert gpu.launches > 100
    assert_same(written(scripts, script), expected)


@pytest.mark.parametrize("scripts", ["fcp"], indirect=True)
def test_what_is_too_much_for_a_card_is_halved(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three pairs need 11 MB, one takes less than 9."""
    scripts.run("find_paths", first=0, device="cpu")
    expected = written(scripts, "find_paths")
    with pretended_gpu(scripts.patch, gibibytes=0.009):
        scripts.run("find_paths", first=0)
    assert "out of memory: going on with 1 at a time" in capsys.readouterr().err
    assert_same(written(scripts, "find_paths"), expected)


@pytest.mark.parametrize("scripts", ["fcp"], indirect=True)
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("first", ["cuda", "cpu"])
def test_a_job_goes_on_on_another_device(scripts: Scripts, job: str, first: str) -> None:
    script, settings = JOBS[job]
    scripts.run(script, device="cpu", **settings)
    expected = written(scripts, script)
    offer = Checkpoint.offer

    def offer_and_stop(checkpoint: Checkpoint, state: Callable[[], tuple]) -> None:
        offer(checkpoint, state)
        raise KilledError

    second = {"cuda": "cpu", "cpu": "cuda"}[first]
    with pretended_gpu(scripts.patch) as gpu:
        with scripts.patch.context() as patch, pytest.raises(KilledError):
            patch.setattr(Checkpoint, "offer", offer_and_stop)
            scripts.run(script, device=first, **settings)
        assert (gpu.launches > 0) == (first == "cuda")
        scripts.run(script, device=second, **settings)
    assert gpu.launches > 0
    assert_same(written(scripts, script), expected)


def test_an_estimate_measures_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration_checks.read(REPOSITORY, {"scale": "smoke", "only": ARCHITECTURES})
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setitem(probe.IMAGES, "cuda", 32)
    with pretended_gpu(monkeypatch) as gpu:
        rates = probe.measure_rates(config, torch.device("cuda"), seconds=0.0)
    assert gpu.launches > 1000
    kinds = {cost.SGD_STEP, cost.LINE_LOSS, cost.DIRECTION, cost.PATH_GRADIENT, cost.PATH_LOSS}
    for name in ARCHITECTURES:
        assert kinds < rates[name].keys()
        assert min(rates[name].values()) > 0


@pytest.mark.parametrize("scripts", ["lenet"], indirect=True)
def test_a_recorded_run_measures_what_it_measures_on_a_cpu(scripts: Scripts) -> None:
    settings = {
        "first_seed": 3,
        "seeds": 2,
        "optimizer": "sgd",
        "optimizer_settings": SGD,
        "function": None,
        "architecture": "lenet",
        "architecture_settings": {},
        "images": {"train": 8, "test": 5},
        "standardise": True,
        "label_noise": 0.5,
        "controls": True,
        "probes": {"interval": 2, "sizes": [2, 4], "size": 3, "minibatches": 1},
    }
    images = scripts.folder / "own.safetensors"
    expected = recorded_runs.record_run(settings, images, torch.device("cpu"))
    with pretended_gpu(scripts.patch):
        recording = recorded_runs.record_run(settings, images, torch.device("cuda"))
    assert_same(recording.records, expected.records)
    pd.testing.assert_frame_equal(recording.probes, expected.probes, rtol=1e-4)
