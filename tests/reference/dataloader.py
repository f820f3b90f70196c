"""Training the way notebooks do it: one network, a DataLoader over single pictures.

The yardstick for speed: the same result as SGD of the engine, by the ordinary route.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from reference.networks import build_network, flat_parameters, load_vector, mean_loss


class PictureDataset(Dataset):
    """Pictures and labels as torchvision serves MNIST: one PIL image at a time, transformed."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray) -> None:
        """Keep uint8 `pictures` [N, 28, 28] and integer `labels` [N]."""
        self.pictures = pictures
        self.labels = labels
        self.transform = transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.pictures[index])
        return self.transform(picture), int(self.labels[index])


@dataclass
class Curves:
    """Mean losses after each epoch, epoch 0 being the initial network, and the last weights."""

    train_losses: list[float] = field(default_factory=list)
    test_losses: list[float] = field(default_factory=list)
    weights: Tensor | None = None


@torch.no_grad()
def loss_over_loader(network: nn.Module, loader: DataLoader) -> float:
    """Return the mean loss over all pictures of the loader."""
    total, count = 0.0, 0
    for pictures, labels in loader:
        images = pictures.flatten(start_dim=1)
        total += mean_loss(network, images, labels).item() * len(images)
        count += len(images)
    return total / count


def train_with_dataloader(
    name: str,
    train_set: PictureDataset,
    test_set: PictureDataset,
    epochs: int,
    seed: int = 0,
    learning_rate: float = 0.1,
    batch_size: int = 64,
    activation: str = "softplus",
    initial_weights: Tensor | None = None,
) -> Curves:
    """Train one network with shuffled minibatches and record both loss curves."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(name, activation)
        if initial_weights is not None:
            load_vector(network, initial_weights)
        shuffled = DataLoader(train_set, batch_size=batch_size, shuffle=True)
        train_loader = DataLoader(train_set, batch_size=1000)
        test_loader = DataLoader(test_set, batch_size=1000)
        optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
        curves = Curves()
        for epoch in range(epochs + 1):
            if epoch > 0:
                for pictures, labels in shuffled:
                    optimizer.zero_grad()
                    mean_loss(network, pictures.flatten(start_dim=1), labels).backward()
                    optimizer.step()
            curves.train_losses.append(loss_over_loader(network, train_loader))
            curves.test_losses.append(loss_over_loader(network, test_loader))
        curves.weights = flat_parameters(network)
    return curves
