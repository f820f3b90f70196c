"""The engine as the workflow runs it: one process of one thread for each core, or on a GPU."""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from benchmarks.machine import peak_memory_mb, wait_for
from benchmarks.work import ENGINES
from topography.architectures import get_architecture
from topography.device import set_up_processor
from topography.objective import Objective


class Workers:
    """Processes that do the same work at the same time, each with its own networks.

    peak_memory_mb: the most that one of them has held so far; see `machine.peak_memory_mb`.
    """

    def __init__(
        self,
        count: int,
        architecture: str,
        images: Tensor,
        labels: Tensor,
        device: torch.device,
    ) -> None:
        """Start so many processes for one architecture on images [N, D] with labels [N], which lie
        on the processor, to compute on the device."""
        context = multiprocessing.get_context("spawn")  # a fork of torch's threads may hang
        self.connections: list[Connection] = []
        self.processes = []
        self.peak_memory_mb = 0.0
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, architecture, images, labels, device), daemon=True
            )
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def run(self, work: str) -> None:
        """Let every process do `work` once."""
        for connection in self.connections:
            connection.send(work)
        self.peak_memory_mb = max(connection.recv() for connection in self.connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join()


def _work(
    connection: Connection, architecture: str, images: Tensor, labels: Tensor, device: torch.device
) -> None:
    """Do what is asked for until the other end of the connection is closed."""
    set_up_processor(threads=1)
    objective = Objective(get_architecture(architecture), images.to(device), labels.to(device))
    functions: dict[str, Callable[[], object]] = {}
    with suppress(EOFError):
        while work := connection.recv():
            if work not in functions:
                functions[work] = ENGINES[work](objective)
            functions[work]()
            wait_for(device)
            connection.send(peak_memory_mb(device))
