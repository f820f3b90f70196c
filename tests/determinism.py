"""How far results of the same seeds differ between groupings into jobs and between thread counts.

    PYTHONPATH=scripts python tests/determinism.py

Trains two seeds of every network with both optimizers on digits: side by side, one by one, and
with other numbers of CPU threads. Prints the table of docs/reliability.md: the largest relative
difference of a loss, and the length of the difference of the weights relative to their own.
"""

import tempfile
from pathlib import Path

import torch

from topography.architectures import get_architecture
from topography.datasets import load_dataset
from topography.objective import Objective
from topography.optimizers import get_optimizer
from topography.training import Training, initial_params, train

SEEDS = [0, 1]
THREADS = [2]
OPTIMIZERS = {
    "sgd": {"learning_rate": 0.1, "batch_size": 64, "epochs": 5},
    "lbfgs": {"iterations": 20},
}


def trained(name: str, optimizer: str, seeds: list[int], threads: int) -> Training:
    """Networks trained on 500 digits, tested on 297."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        data = load_dataset("digits", Path(folder), "download")
    architecture = get_architecture(name)

    def objective(images: torch.Tensor, labels: torch.Tensor) -> Objective:
        return Objective(architecture, images.flatten(1).float().div(255.0), labels.long())

    return train(
        objective(
            torch.from_numpy(data.train_images[:500]), torch.from_numpy(data.train_labels[:500])
        ),
        objective(torch.from_numpy(data.test_images), torch.from_numpy(data.test_labels)),
        get_optimizer(optimizer, **OPTIMIZERS[optimizer]),
        seeds,
        initial_params(architecture, seeds),
    )


def difference(one: torch.Tensor, other: torch.Tensor) -> str:
    """Largest relative difference, or "none" where all bits agree."""
    if torch.equal(one, other):
        return "none"
    return f"{((one - other).abs() / one.abs().clamp_min(1e-12)).max().item():.0e}"


def main() -> None:
    heads = ["one by one", *(f"{threads} threads" for threads in THREADS)]
    print(f"| network, optimizer | {' | '.join(f'{head}: losses, weights' for head in heads)} |")
    print("|---|" + "---|" * len(heads))
    for name in ("fcp", "lenet", "autoencoder", "lstm"):
        for optimizer in OPTIMIZERS:
            whole = trained(name, optimizer, SEEDS, 1)
            alone = [trained(name, optimizer, [seed], 1) for seed in SEEDS]
            others = [
                (
                    torch.cat([part.curves for part in alone]),
                    torch.cat([part.best_weights for part in alone]),
                )
            ]
            for threads in THREADS:
                spread = trained(name, optimizer, SEEDS, threads)
                others.append((spread.curves, spread.best_weights))
            cells = []
            for curves, weights in others:
                norm = (weights - whole.best_weights).norm() / whole.best_weights.norm()
                moved = f"{norm.item():.0e}" if norm > 0 else "none"
                cells.append(f"{difference(whole.curves, curves)}, {moved}")
            print(f"| {name}, {optimizer} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
