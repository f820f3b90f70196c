"""Images the way notebooks load them: single pictures, through a DataLoader.

A yardstick for speed.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from reference.networks import mean_loss


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


@torch.no_grad()
def loss_over_loader(network: nn.Module, loader: DataLoader) -> float:
    """Return the mean loss over all pictures of the loader."""
    device = next(network.parameters()).device
    total, count = 0.0, 0
    for pictures, labels in loader:
        images = pictures.flatten(start_dim=1).to(device)
        total += mean_loss(network, images, labels.to(device)).item() * len(images)
        count += len(images)
    return total / count
