"""Small made-up results with the form of real ones, for tests of what comes after training.

Numbers follow the paper roughly: L-BFGS vectors are longer than SGD vectors, its train losses
lower, its test losses rise again, its barriers higher.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from topography import storage

LABELS = np.repeat(np.arange(10), 3)
EPOCHS = {"sgd": 75, "lbfgs": 1000}
TRAIN_LOSS = {"sgd": 1e-2, "lbfgs": 1e-6}
SPREAD = {
    "sgd_train": 0.14,
    "sgd_test": 0.10,
    "lbfgs_train": 0.23,
    "lbfgs_test": 0.12,
}


def smallest_font(figure: Figure) -> float:
    """Size in points of the smallest text of a figure."""
    return min(text.get_fontsize() for text in figure.findobj(lambda a: hasattr(a, "get_fontsize")))


def write_training(
    folder: Path,
    architecture: str,
    optimizer: str,
    seeds: range,
    parameters: int = 40,
    failed: tuple[int, ...] = (),
    epochs: int | None = None,
) -> dict[str, Path]:
    """Write the three files of one training job and return their paths by kind."""
    stem = folder / architecture / optimizer / f"seeds_{seeds[0]}-{seeds[-1]}"
    files = {
        "weights": stem.with_name(f"{stem.name}.safetensors"),
        "history": stem.with_name(f"{stem.name}.history.csv"),
        "runs": stem.with_name(f"{stem.name}.runs.csv"),
    }
    epochs = epochs or EPOCHS[optimizer]
    runs, histories = [], []
    weights = {"train": [], "test": []}
    for seed in seeds:
        generator = np.random.default_rng([seed, len(architecture), len(optimizer)])
        history = loss_history(optimizer, epochs, seed, generator)
        minima = {name: history.loc[history[f"{name}_loss"].idxmin()] for name in ("train", "test")}
        run = {"seed": seed, "status": "ok", "reason": ""}
        for name, minimum in minima.items():
            run[f"{name}_epoch"] = int(minimum["epoch"])
            run[f"{name}_loss"] = minimum[f"{name}_loss"]
        for name, vectors in weights.items():
            spread = SPREAD[f"{optimizer}_{name}"]
            vector = spread * generator.standard_normal(parameters)
            vectors.append(np.full(parameters, np.nan) if seed in failed else vector)
        if seed in failed:
            nothing = {"train_epoch": -1, "test_epoch": -1, "train_loss": np.nan}
            run |= {"status": "failed", "reason": "loss became NaN at epoch 3", **nothing}
            run["test_loss"] = np.nan
        runs.append(run)
        histories.append(history)
    storage.write_tensors(
        files["weights"],
        {
            "seeds": np.array(seeds, dtype=np.int64),
            "train_weights": np.array(weights["train"], dtype=np.float32),
            "test_weights": np.array(weights["test"], dtype=np.float32),
        },
    )
    storage.write_table(files["runs"], pd.DataFrame(runs))
    storage.write_table(files["history"], pd.concat(histories, ignore_index=True))
    return files


def loss_history(
    optimizer: str, epochs: int, seed: int, generator: np.random.Generator
) -> pd.DataFrame:
    """Curves from epoch 0 on; the test curve rises after a tenth to a half of the epochs."""
    epoch = np.arange(epochs + 1)
    depth = np.log(TRAIN_LOSS[optimizer] * np.exp(0.3 * generator.standard_normal()) / 2.3)
    progress = np.log1p(epoch) / np.log1p(epochs)
    train = 2.3 * np.exp(depth * progress + 0.03 * generator.standard_normal(len(epoch)))
    turn = max(1, epochs // (12 if optimizer == "lbfgs" else 2))
    test = (
        0.1 + 2.2 * np.exp(-5 * epoch / turn) + 0.1 * np.maximum(0, np.log(1 + epoch / turn)) ** 2
    )
    return pd.DataFrame({"seed": seed, "epoch": epoch, "train_loss": train, "test_loss": test})


def write_set(file: Path, weights: np.ndarray, seeds: np.ndarray | None = None) -> Path:
    """Write a set of weight vectors [keep, P]."""
    seeds = np.arange(len(weights)) if seeds is None else seeds
    storage.write_tensors(
        file, {"weights": weights.astype(np.float32), "seeds": seeds.astype(np.int64)}
    )
    return file


def path_tensors(pairs: np.ndarray, heights: np.ndarray, points: int = 51) -> dict[str, np.ndarray]:
    """Content of a path file: parabolas of the given heights between losses 0.01 and 0.02.

    Args:
        pairs: [S, 2].
        heights: [S], reached at t = 0.5.
        points: odd, so that t = 0.5 is among them.
    """

    def profiles(t: np.ndarray, tops: np.ndarray) -> np.ndarray:
        floor = 0.01 * t + 0.02 * (1 - t)
        return floor + 4 * t * (1 - t) * (tops[:, None] - 0.015)

    t, fine_t = np.linspace(0, 1, points), np.linspace(0, 1, 201)
    return {
        "pairs": pairs.astype(np.int64),
        "coefficients": np.zeros((len(pairs), 3, 5), np.float32),
        "t": t,
        "losses": profiles(t, heights),
        "fine_t": fine_t,
        "fine_losses": profiles(fine_t, heights),
        "straight_losses": profiles(t, 3 * heights),
        "step_losses": np.ones((len(pairs), 4)),
        "lengths": 1.2 + 0.1 * heights,
        "straight_lengths": np.ones(len(pairs)),
    }
