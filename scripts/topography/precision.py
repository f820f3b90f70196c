"""Matrix products of lower precision, for work whose result is measured exactly afterwards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

EXACT, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"


def product_type(precision: str, device: torch.device) -> str:
    """The type of number in which matrix products of a precision level are computed on a device.

    precision: "exact" is float32. "fast" is TF32 on a GPU; on a CPU bfloat16, where its
    instructions multiply such numbers, and float32 elsewhere.

    Raises:
        ValueError: another precision.
    """
    if precision not in ("exact", "fast"):
        raise ValueError(f'precision must be "exact" or "fast", not {precision!r}')
    if precision == "exact":
        return EXACT
    if device.type != "cpu":
        return TF32
    return BFLOAT16 if _multiplies_bfloat16() else EXACT


@contextmanager
def matrix_products(product_type: str) -> Iterator[None]:
    """Compute matrix products of float32 tensors in another type of number (see `product_type`).

    Both TF32 and bfloat16 round the factors, to 11 and 8 binary digits, and sum their products in
    float32; bfloat16 then rounds the sums likewise. TF32 applies to all products of float32, and to
    convolutions; bfloat16 not to products that torch adds to a given sum in the same call (addmm,
    baddbmm), such as LeNet's dense layers and gradients summed over blocks of images, nor
    to what torch computes in one call, such as its LSTM: these stay exact on a CPU.
    Products in float64 and all other arithmetic stay as they are, and so does every setting of
    torch once this ends.
    """
    if product_type == TF32:
        switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
        before = [switch.fp32_precision for switch in switches]
        for switch in switches:
            switch.fp32_precision = "tf32"
        try:
            yield
        finally:
            for switch, setting in zip(switches, before, strict=True):
                switch.fp32_precision = setting
    elif product_type == BFLOAT16:
        with _BFloat16Products():
            yield
    else:
        yield


def _multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16: AVX-512, AMX, or those of Arm."""
    capabilities = torch.cpu.get_capabilities()
    return any(present for name, present in capabilities.items() if name.endswith("bf16"))


class _BFloat16Products(TorchFunctionMode):
    """Computes the matrix products of float32 tensors in bfloat16, and adds them in float32; those
    that accumulate into a given sum, such as baddbmm, stay float32 altogether.

    torch has a switch for this (torch.backends.mkldnn.matmul.fp32_precision), which processors
    without AMX disregard.
    """

    PRODUCTS = frozenset(
        {torch.mm, torch.bmm, torch.matmul, Tensor.mm, Tensor.bmm, Tensor.matmul, Tensor.__matmul__}
    )

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        if function not in self.PRODUCTS or args[0].dtype != torch.float32:
            return function(*args, **kwargs)
        out = kwargs.pop("out", None)
        product = function(*(factor.bfloat16() for factor in args), **kwargs)
        return product.float() if out is None else out.copy_(product)
