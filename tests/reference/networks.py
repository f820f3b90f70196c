"""The four architectures as ordinary PyTorch modules (spec section 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

PARAMETER_COUNTS = {"fcp": 42200, "lenet": 61706, "autoencoder": 52224, "lstm": 15456}


class Softplus(nn.Softplus):
    """log(1 + exp(x)) in full float64 precision.

    PyTorch's default returns x itself above 20, which leaves out up to 2e-9.
    """

    def __init__(self) -> None:
        super().__init__(threshold=40)


ACTIVATIONS: dict[str, type[nn.Module]] = {"softplus": Softplus, "relu": nn.ReLU}


class FullyConnected(nn.Module):
    """784-50-50-10 without biases."""

    def __init__(self, activation: str = "softplus") -> None:
        super().__init__()
        self.first = nn.Linear(784, 50, bias=False)
        self.second = nn.Linear(50, 50, bias=False)
        self.third = nn.Linear(50, 10, bias=False)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 784] to logits [n, 10]."""
        hidden = self.activation(self.first(images))
        hidden = self.activation(self.second(hidden))
        return self.third(hidden)


class LeNet(nn.Module):
    """Two convolutions, each with activation and average pool, then 400-120-84-10 with biases."""

    def __init__(self, activation: str = "softplus") -> None:
        super().__init__()
        self.convolution_1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.convolution_2 = nn.Conv2d(6, 16, kernel_size=5)
        self.dense_1 = nn.Linear(400, 120)
        self.dense_2 = nn.Linear(120, 84)
        self.dense_3 = nn.Linear(84, 10)
        self.pool = nn.AvgPool2d(2)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 784] to logits [n, 10]."""
        maps = self.pool(self.activation(self.convolution_1(images.reshape(-1, 1, 28, 28))))
        maps = self.pool(self.activation(self.convolution_2(maps)))
        hidden = self.activation(self.dense_1(maps.flatten(start_dim=1)))
        hidden = self.activation(self.dense_2(hidden))
        return self.dense_3(hidden)


class Autoencoder(nn.Module):
    """784-32-32, 32-32-784 without biases: sigmoid at the end."""

    def __init__(self, activation: str = "softplus") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, 32, bias=False),
            ACTIVATIONS[activation](),
            nn.Linear(32, 32, bias=False),
            ACTIVATIONS[activation](),
            nn.Linear(32, 32, bias=False),
            ACTIVATIONS[activation](),
            nn.Linear(32, 784, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 784] to reconstructions [n, 784]."""
        return self.layers(images)


class RecurrentNetwork(nn.Module):
    """LSTM with 48 hidden units over permuted pixels, 28 steps of 28, then dense 48-10."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size=28, hidden_size=48, batch_first=True)
        self.output = nn.Linear(48, 10, bias=False)
        self.permutation = torch.randperm(784, generator=torch.Generator().manual_seed(1234))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 784] to logits [n, 10]."""
        steps = images[:, self.permutation].reshape(-1, 28, 28)
        states, _ = self.lstm(steps)
        return self.output(states[:, -1])


def build_network(name: str, activation: str = "softplus") -> nn.Module:
    """Return a freshly initialised network: fcp, lenet, autoencoder or lstm.

    `activation` (softplus, relu) is of all but the lstm, which has no choice.
    """
    if name == "fcp":
        return FullyConnected(activation)
    if name == "lenet":
        return LeNet(activation)
    if name == "autoencoder":
        return Autoencoder(activation)
    if name == "lstm":
        return RecurrentNetwork()
    raise ValueError(f"unknown network {name!r}")


def initial_vector(name: str, seed: int) -> Tensor:
    """Return PyTorch's default initialisation [P] after `torch.manual_seed(seed)`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return flat_parameters(build_network(name))


def flat_parameters(network: nn.Module) -> Tensor:
    """Return all parameters as one vector [P], in the order of `network.parameters()`."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def flat_gradient(network: nn.Module) -> Tensor:
    """Return the accumulated gradients as one vector [P], in the same order."""
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def load_vector(network: nn.Module, vector: Tensor) -> nn.Module:
    """Put the vector [P] into the network, which takes over its dtype and device."""
    network.to(vector.device, vector.dtype)
    offset = 0
    with torch.no_grad():
        for parameter in network.parameters():
            part = vector[offset : offset + parameter.numel()]
            parameter.copy_(part.reshape(parameter.shape))
            offset += parameter.numel()
    if offset != len(vector):
        raise ValueError(f"the network has {offset} parameters, the vector {len(vector)}")
    return network


def mean_loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss (scalar, averaged in float64) of images [n, 784] with labels [n].

    Mean squared error over pixels and images for the autoencoder, cross-entropy for the others.
    """
    outputs = network(images)
    if isinstance(network, Autoencoder):
        return (outputs - images).square().double().mean()
    return nn.functional.cross_entropy(outputs, labels, reduction="none").double().mean()


def loss_and_gradient(
    name: str, vector: Tensor, images: Tensor, labels: Tensor, activation: str = "softplus"
) -> tuple[float, Tensor]:
    """Return the mean loss at one parameter vector [P] and its gradient [P] by autograd."""
    network = load_vector(build_network(name, activation), vector)
    loss = mean_loss(network, images, labels)
    loss.backward()
    return loss.item(), flat_gradient(network)


def landscape(
    name: str, images: Tensor, labels: Tensor, activation: str = "softplus"
) -> Callable[[Tensor], Tensor]:
    """Return the function vector [P] -> loss (scalar tensor with a gradient) of one dataset."""
    network = build_network(name, activation)
    shapes = {key: parameter.shape for key, parameter in network.named_parameters()}

    def loss_at(vector: Tensor) -> Tensor:
        network.to(vector.dtype)
        parameters, offset = {}, 0
        for key, shape in shapes.items():
            parameters[key] = vector[offset : offset + shape.numel()].reshape(shape)
            offset += shape.numel()
        outputs = torch.func.functional_call(network, parameters, (images,))
        if name == "autoencoder":
            return (outputs - images).square().double().mean()
        return nn.functional.cross_entropy(outputs, labels, reduction="none").double().mean()

    return loss_at
