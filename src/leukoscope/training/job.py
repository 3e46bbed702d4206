"""What a fit is of, and on what hardware: all that each of its processes must know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from leukoscope.errors import TrainingError, UsageError
from leukoscope.recipes.schema import Recipe
from leukoscope.training.cache import Cells
from leukoscope.training.draw import Index

LEAST_CELLS = 2
"""Of a batch in each process: batch norm needs two."""
SEVERAL_MACHINES = (
    "the same command on every machine, with MASTER_ADDR=NAME_OF_THE_FIRST MASTER_PORT=29500 and NODE_RANK=0 "
    "on the first, 1 on the second, ..."
)


@dataclass(frozen=True)
class Hardware:
    """Where to fit.

    Attributes:
        device: auto, cpu, cuda or mps.
        devices: processes on each machine; on a GPU, GPUs.
        nodes: machines.
        node: which of them this is, from 0.
        address, port: where the processes meet: on machine 0. Port 0: any that is free, on one machine.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    node: int = 0
    address: str = "127.0.0.1"
    port: int = 0

    @property
    def num_processes(self) -> int:
        """On all machines together."""
        return self.devices * self.nodes

    @property
    def accelerator(self) -> str:
        """Lightning's word for the device; several processes work on CUDA or on processors alone."""
        if self.num_processes == 1 or self.device == "cpu":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def check(self) -> None:
        """Raises UsageError: when several processes were asked for, and the device cannot have them."""
        if self.num_processes == 1 or (self.accelerator == "cpu" and self.device in ("auto", "cpu")):
            return
        if self.device == "mps":
            raise UsageError("several processes cannot share an MPS device", hint="--device cpu")
        found = torch.cuda.device_count()
        if found < self.devices:
            raise UsageError(
                f"--devices {self.devices}: this machine has {found} CUDA devices",
                hint=f"--devices {found}" if found else "--device cpu",
            )


def hardware_here(device: str, devices: int, nodes: int, environment: Mapping[str, str]) -> Hardware:
    """The hardware, with which of several machines this is: ``MASTER_ADDR``, ``MASTER_PORT``, ``NODE_RANK``.

    Raises:
        UsageError: when one of these is missing or impossible, or another launcher has started processes.

    >>> hardware_here("cpu", 2, 1, {})
    Hardware(device='cpu', devices=2, nodes=1, node=0, address='127.0.0.1', port=0)
    """
    if int(environment.get("WORLD_SIZE", "1")) > 1 and "LOCAL_RANK" in environment:
        raise UsageError(
            "another launcher (torchrun?) has started several processes: LOCAL_RANK is set",
            hint=f"--devices N starts them by itself; for several machines {SEVERAL_MACHINES}",
        )
    chosen = Hardware(device, devices, nodes)
    if nodes == 1:
        return chosen
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if not environment.get(name)]
    if missing:
        raise UsageError(f"--nodes {nodes}: {', '.join(missing)} not set", hint=SEVERAL_MACHINES)
    port, node = environment["MASTER_PORT"], environment["NODE_RANK"]
    if not (node.isdecimal() and int(node) < nodes):
        raise UsageError(f"NODE_RANK={node}: expected a number from 0 to {nodes - 1}", hint=SEVERAL_MACHINES)
    if not (port.isdecimal() and 0 < int(port) < 1 << 16):
        raise UsageError(f"MASTER_PORT={port}: expected a number from 1 to 65535", hint=SEVERAL_MACHINES)
    return replace(chosen, node=int(node), address=environment["MASTER_ADDR"], port=int(port))


@dataclass(frozen=True)
class TrainingCells:
    """What a fit reads: all cells of the cache, and of each the class and the subject (or duplicate
    group)."""

    cells: Cells
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    positive: list[bool]

    def __getstate__(self) -> dict[str, Any]:
        """Another process maps the cache itself; its cells are not sent."""
        path = getattr(self.cells, "filename", None)  # of a memory map
        return self.__dict__ | ({} if path is None else {"cells": Path(path)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        cells = state["cells"]
        mapped = np.load(cells, mmap_mode="r", allow_pickle=False) if isinstance(cells, Path) else cells
        self.__dict__.update(state | {"cells": mapped})


@dataclass(frozen=True)
class Job:
    """One fit: see :func:`leukoscope.training.fit.fit`."""

    recipe: Recipe
    data: TrainingCells
    train: Index
    validation: Index
    folder: Path
    hardware: Hardware = Hardware()
    resume: bool = False
    stop_after: int = 0

    @property
    def num_epochs(self) -> int:
        """To be trained."""
        return self.stop_after or self.recipe.training.all_epochs

    def check(self) -> None:
        """Raises TrainingError: when there is nothing to fit on, or too little for each process."""
        found = np.unique(self.data.labels[self.train])
        if len(found) < 2:
            raise TrainingError(
                "training needs cells of at least two classes. "
                f"Received: {len(self.train)} cells of {len(found)}",
                hint="look at the split with 'leukoscope data audit'",
            )
        self.hardware.check()
        world = self.hardware.num_processes
        cells = min(self.recipe.training.batch_size, self.recipe.training.cells_per_epoch or len(self.train))
        if world > 1 and cells < LEAST_CELLS * world:
            raise TrainingError(
                f"a batch of {cells} cells is too few for {world} processes, which need {LEAST_CELLS} each",
                hint="raise training.batch_size, or lower --devices",
            )

    def fingerprint(self) -> str:
        """SHA-256 of what must be the same in every process."""
        same = (self.recipe.model_dump_json(), self.hardware.devices, self.hardware.nodes, self.stop_after)
        digest = hashlib.sha256(repr(same).encode())
        for array in (self.data.labels, self.data.groups, self.train, self.validation):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
