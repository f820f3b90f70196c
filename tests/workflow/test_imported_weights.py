"""Networks of a finished run, given as weights from elsewhere, lead to the results of that run."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from support.clones import SMOKE, Workflow, copy_repository
from topography.storage import read_tensors

# The columns that do not name seeds, which files of weights do not tell.
COMPARED = {
    "tables/table1": ["train_loss", "test_loss"],
    "tables/tableS1": ["mean", "standard_deviation"],
    "barriers/train/fcp/lbfgs_train": ["start_loss", "end_loss", "height", "path_length"],
    "barriers/test/fcp/sgd_test": ["start_loss", "end_loss", "height", "path_length"],
    "kernel_pca/fcp": ["pc1", "pc2"],
}


@pytest.mark.slow
def test_given_back_as_weights_from_elsewhere_networks_have_the_same_results(
    finished: Workflow, tmp_path: Path
) -> None:
    weights: dict[str, dict[str, str]] = {}
    for file in (finished.folder / "results/smoke/sets/fcp").glob("*.safetensors"):
        optimizer, checkpoint = file.stem.split("_")
        given = tmp_path / f"{file.stem}.npy"
        np.save(given, read_tensors(file)["weights"])
        weights.setdefault(optimizer, {})[checkpoint] = str(given)
    assert {name: set(files) for name, files in weights.items()} == {
        "sgd": {"train", "test"},
        "lbfgs": {"train", "test"},
    }
    (tmp_path / "mine.yaml").write_text(json.dumps({"only": ["fcp"], "weights": {"fcp": weights}}))
    other = copy_repository(tmp_path / "clone")
    mine = (*SMOKE, "--configfile", str(tmp_path / "mine.yaml"))
    targets = [f"results/smoke/{name}.csv" for name in COMPARED]
    assert "train_networks" not in other.rules(*targets, *mine)
    other.run(*targets, "results/fig4.pdf", "results/table1.md", "--cores", "2", *mine)
    for target, columns in zip(targets, COMPARED.values(), strict=True):
        expected, found = (pd.read_csv(one.folder / target) for one in (finished, other))
        if "architecture" in expected:
            expected = expected[expected["architecture"] == "fcp"]
        np.testing.assert_allclose(found[columns], expected[columns], rtol=1e-5, err_msg=target)
    assert (other.folder / "results/fig4.pdf").read_bytes().startswith(b"%PDF")
    assert "elsewhere" in (other.folder / "results/table1.md").read_text()
    # Both checkpoints the other way around, in files of one size and date.
    for file in weights["sgd"].values():
        os.utime(file, (1, 1))
    other.run(*targets, "--touch", "--cores", "1", *mine)
    assert other.rules(*targets, *mine) == set()
    swapped = weights | {"sgd": {"train": weights["sgd"]["test"], "test": weights["sgd"]["train"]}}
    (tmp_path / "swapped.yaml").write_text(
        json.dumps({"only": ["fcp"], "weights": {"fcp": swapped}})
    )
    rules = other.rules(*targets, *SMOKE, "--configfile", str(tmp_path / "swapped.yaml"))
    assert "import_networks" in rules
    # Other networks under the same name, copied with a date from before.
    replaced = Path(weights["sgd"]["train"])
    np.save(replaced, np.load(replaced)[::-1])
    os.utime(replaced, (0, 0))
    assert "import_networks" in other.rules(*targets, *mine)
