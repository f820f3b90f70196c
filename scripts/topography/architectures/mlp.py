"""Multilayer perceptron of any width and depth, with biases."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from topography.architectures.base import PIXELS, AutogradArchitecture, Parameter, cross_entropy
from topography.modules import are_counts

CLASSES = 10
ACTIVATIONS = {"relu": functional.relu, "softplus": functional.softplus}


class MultilayerPerceptron(AutogradArchitecture):
    """Dense hidden layers and a softmax classifier, as a chain of `nn.Linear` would be."""

    name = "mlp"

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        inputs: int = PIXELS,
        activation: str = "relu",
    ) -> None:
        """hidden: units of each hidden layer; inputs: numbers of an image; activation: relu or
        softplus.
        """
        if not are_counts(*hidden, inputs):
            raise ValueError("hidden and inputs must be whole numbers of at least 1")
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; choose relu or softplus")
        self.image_size = inputs
        widths = [inputs, *hidden, CLASSES]
        self.layers = len(widths) - 1
        self.activation = ACTIVATIONS[activation]
        self.parameters = tuple(
            parameter
            for layer in range(self.layers)
            for parameter in (
                Parameter(f"{layer}.weight", (widths[layer + 1], widths[layer]), widths[layer]),
                Parameter(f"{layer}.bias", (widths[layer + 1],), widths[layer]),
            )
        )
        self.activation_floats = 4 * sum(widths[1:])

    def image_losses(self, params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        blocks = self.split(params)
        values = images.mT  # [(B,) D, n]
        for layer in range(self.layers):
            if layer:
                values = self.activation(values)
            values = blocks[f"{layer}.weight"] @ values + blocks[f"{layer}.bias"].unsqueeze(2)
        return cross_entropy(values, labels)


ARCHITECTURE = MultilayerPerceptron
