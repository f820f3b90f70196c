"""A GPU for machines without one: tensors that claim to lie on it, and compute on the processor.

Everything that depends on the device of a tensor behaves as on a GPU, down to the script of a job,
and operations that a GPU would refuse are refused. What is computed can be compared with the
processor's own; what would be asked of a GPU can be counted.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from reference import data
from topography.architectures import get_architecture, lstm
from topography.objective import Objective

FRESH_MEMORY = {"empty", "new_empty", "empty_like", "empty_strided", "detach"}
COPIES = {"_to_copy", "copy_"}
READS = {"_local_scalar_dense", "nonzero", "equal"}
INDEXING = {"index", "index_put_"}  # by tensors that may lie elsewhere


class GpuTensor(Tensor):
    """A tensor that says it lies on a GPU; `held` lies in the processor's memory."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "GpuTensor":
        return Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="cuda:0",
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"GpuTensor of {list(self.shape)}"

    def tolist(self) -> list:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(
        cls, operation: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        raise AssertionError(f"{operation} on a pretended GPU that is no longer there")


class PretendedGpu(TorchDispatchMode):
    """While entered, tensors can be made on "cuda".

    launches: operations it was asked for, but for views and fresh memory. waits: how often the
    program had to wait for it, to read a number, to select by a mask, or for a copy from one
    memory to the other. memory, peak_memory: bytes that its tensors have, and the most they have
    had.
    """

    def __init__(self, capacity: int) -> None:
        """capacity: bytes of memory it has."""
        super().__init__()
        self.capacity = capacity
        self.launches = 0
        self.waits = 0
        self.memory = 0
        self.peak_memory = 0
        self._sharers: dict[int, int] = {}  # tensors that share a piece of memory, by its address

    def __torch_dispatch__(
        self, operation: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = dict(kwargs or {})
        name = operation.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, GpuTensor)]
        here = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor)]
        on_gpu = bool(there)
        if name in COPIES | INDEXING:
            on_gpu = isinstance(args[0], GpuTensor)
        elif on_gpu and any(tensor.dim() for tensor in here):
            raise RuntimeError(f"{operation}: some tensors are on the GPU, others are not")
        if kwargs.get("device") is not None:
            on_gpu = torch.device(kwargs["device"]).type == "cuda"
            kwargs["device"] = torch.device("cpu")
        if on_gpu and kwargs.get("generator") is not None:
            raise RuntimeError(f"{operation}: the generator is not on the GPU")
        self.launches += on_gpu and not operation.is_view and name not in FRESH_MEMORY
        self.waits += waits(name, args, on_gpu)
        result = operation(*tree_map(held, args), **tree_map(held, kwargs))
        known = {id(tensor.held): tensor for tensor in there}  # what is changed in place

        def outside(value: object) -> object:
            if not isinstance(value, Tensor) or not on_gpu:
                return value
            return known[id(value)] if id(value) in known else self._place(value)

        return tree_map(outside, result)

    def _place(self, value: Tensor) -> GpuTensor:
        """Put the result of an operation on the GPU, where it takes memory as long as it lives."""
        address, size = value.untyped_storage().data_ptr(), value.untyped_storage().nbytes()
        if address not in self._sharers:
            if self.memory + size > self.capacity:
                raise torch.OutOfMemoryError(f"{size} bytes more are too much for a pretended GPU")
            self.memory += size
            self.peak_memory = max(self.peak_memory, self.memory)
        self._sharers[address] = self._sharers.get(address, 0) + 1
        tensor = GpuTensor(value)
        weakref.finalize(tensor, self._forget, address, size)
        return tensor

    def _forget(self, address: int, size: int) -> None:
        self._sharers[address] -= 1
        if self._sharers[address] == 0:
            del self._sharers[address]
            self.memory -= size


def waits(name: str, args: tuple, on_gpu: bool) -> bool:
    """Whether a program waits for the GPU in an operation, whose result is there or is not."""
    if name in COPIES:
        source = args[1] if name == "copy_" else args[0]
        return isinstance(source, GpuTensor) != on_gpu
    if name in INDEXING:
        return any(isinstance(i, GpuTensor) and i.dtype == torch.bool for i in args[1])
    return name in READS and isinstance(args[0], GpuTensor)


def held(value: object) -> object:
    return value.held if isinstance(value, GpuTensor) else value


def use_card(monkeypatch: pytest.MonkeyPatch, gibibytes: float, share: float = 1.0) -> None:
    """Make it look as if there were a GPU of this size, of which a share may be used."""
    card = SimpleNamespace(total_memory=int(gibibytes * 2**30))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: share)


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch, gibibytes: float = 16) -> Iterator[PretendedGpu]:
    """A machine with one GPU of this size, for as long as the context lasts."""
    use_card(monkeypatch, gibibytes)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda _: None)
    # As torch's own fake tensors do, which compute nothing: no driver is asked which GPU is in use,
    # and numbers become a tensor on the processor before they are copied to a device.
    torch._C._ensureCUDADeviceGuardSet()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with PretendedGpu(int(gibibytes * 2**30)) as gpu:
            yield gpu
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
        for constant in (lstm._permutation, lstm._factors):  # kept for each device
            constant.cache_clear()


def objective_on_gpu(name: str, count: int) -> Objective:
    """Of an architecture, on so many random images that lie on the pretended GPU."""
    images, labels = data.random_images(count, dtype=torch.float32)
    return Objective(get_architecture(name), images.to("cuda"), labels.to("cuda"))
