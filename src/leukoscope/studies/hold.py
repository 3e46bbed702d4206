"""Can this machine hold a run? What a network needs is counted on torch's meta device, where nothing is
computed and nothing takes memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from leukoscope.errors import ConfigError, LeukoscopeError
from leukoscope.models.base import CellNetwork
from leukoscope.models.create import create_model, num_parameters
from leukoscope.recipes.schema import Recipe, TrainingChoice
from leukoscope.studies.outcome import Need
from leukoscope.training.phases import part_of

FLOAT = 4
GB = 1e9
PASSES = 3
"""Forward, and backward, which is about twice as much work."""

OPTIMISER_STATES = {"adam": 2, "adamw": 2, "adamax": 2, "sgd": 1}
"""Numbers that the optimiser keeps for each that it trains."""

BUNDLE_COPIES = 3
"""The weights in the graph, in its file, and in the runtime that compares it with the network. With these,
and 0.8 GB of libraries, what is counted is within a tenth of the peaks of VGG16, ResNet50, Inception-ResNet
v2 and ConvNeXt-XL."""

RATE_SECONDS = 0.5


def measure_need(recipe: Recipe, num_classes: int) -> Need:
    """What the recipe's network needs while it is trained, in 32-bit floats.

    Weights, gradients, optimiser's state and running average, what autograd keeps of one batch for the
    backward pass, and the copies of the weights that are there while the bundle is written.

    Raises:
        ConfigError: when the network cannot read cells of this size.
    """
    network = _on_meta(recipe, num_classes)
    if recipe.model.weights != "none":
        for name in always_frozen(recipe.training):
            part_of(network, name).requires_grad_(False)
    trained = num_parameters(network)
    everything = sum(p.numel() for p in network.parameters()) + sum(b.numel() for b in network.buffers())
    states = 1 + OPTIMISER_STATES[recipe.training.optimiser]
    copies = BUNDLE_COPIES + (2 if recipe.training.average else 1)
    try:
        return Need(
            parameters=trained,
            multiply_adds=_multiply_adds(network, recipe.preprocess.size),
            weight_bytes=FLOAT * (copies * everything + states * trained),
            activation_bytes=_kept_bytes(network, recipe.training.batch_size, recipe.preprocess.size),
        )
    except LeukoscopeError:
        raise
    except (RuntimeError, ValueError) as error:
        size = recipe.preprocess.size
        raise ConfigError(
            f"{recipe.model.name} cannot read cells of {size}x{size} pixels: {str(error).splitlines()[0]}",
            hint="raise preprocess.size",
        ) from None


def _on_meta(recipe: Recipe, num_classes: int) -> CellNetwork:
    with torch.device("meta"):
        return create_model(
            recipe.model.name,
            num_classes=num_classes,
            size=recipe.preprocess.size,
            **recipe.model.built_with(),
        )


def always_frozen(training: TrainingChoice) -> set[str]:
    """Names of the parts that no phase trains."""
    return set.intersection(*(set(phase.freeze) for phase in training.phases))


def _pixels(num: int, size: int) -> Tensor:
    return torch.empty(num, 3, size, size, device="meta")


def _multiply_adds(network: CellNetwork, size: int) -> int:
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.read(_pixels(1, size))
    return int(counter.get_total_flops()) // 2


def _kept_bytes(network: CellNetwork, batch: int, size: int) -> int:
    """Bytes that autograd keeps of one batch, weights left out; each piece of memory counts once."""
    own = {value.untyped_storage()._cdata for value in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    network.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network.read(_pixels(batch, size))
    sizes = (tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)
    return int(sum(sizes)) + _bytes_of(outputs)


def _bytes_of(outputs: Any) -> int:
    return sum(value.untyped_storage().nbytes() for value in outputs if isinstance(value, Tensor))


def actual_device(device: str) -> str:
    """What ``auto`` means on this machine: ``cuda``, ``mps`` or ``cpu``."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def free_bytes(device: str) -> int | None:
    """Memory that is free for a run; ``None`` where the system does not tell.

    On the processor the least of what Linux calls available and what the process's control group leaves; on a
    CUDA device what its driver says.
    """
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if device != "cpu":
        return None
    found = [value for value in (_available(), _left_by_group()) if value is not None]
    return min(found) if found else None


def _available(path: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _left_by_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return max(int(limit) - int(used), 0)
    except (OSError, ValueError):  # no group, or no limit ("max")
        return None


def too_large(need: Need, free: int | None) -> str:
    """Why the run does not fit, in words; empty where it does or nothing is known.

    >>> need = Need(parameters=1, multiply_adds=1, weight_bytes=30 * 10**9, activation_bytes=11 * 10**9)
    >>> too_large(need, 20_000_000_000)
    'needs about 41 GB, 20 GB are free'
    """
    if free is None or need.total_bytes <= free:
        return ""
    return f"needs about {_gb(need.total_bytes)}, {_gb(free)} are free"


def _gb(value: int) -> str:
    return f"{value / GB:.0f} GB" if value >= 10 * GB else f"{value / GB:.1f} GB"


def too_long(need: Need, num_cells: int, rate: float, hours: float) -> str:
    """Why the run would take too long, in words; empty where it would not.

    Args:
        need: of the network.
        num_cells: that are trained on, all epochs and folds together.
        rate: multiply-adds a second of this machine.
        hours: the limit.
    """
    expected = need.multiply_adds * PASSES * num_cells / rate / 3600
    return f"would take about {expected:.1f} hours, the limit is {hours:g}" if expected > hours else ""


def machine_rate(device: str) -> float:
    """Multiply-adds a second: a small convolution, forward and backward, for half a second.

    An optimistic rate: real networks read less of it, so that what is skipped for time would be late indeed.
    """
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(device)
    pixels = torch.randn(16, 64, 28, 28, device=device, requires_grad=True)
    work = 64 * 64 * 9 * 28 * 28 * 16 * PASSES
    steps = 0
    layer(pixels).sum().backward()  # the first one prepares
    _settle(device)
    started = time.perf_counter()
    while time.perf_counter() - started < RATE_SECONDS:
        layer(pixels).sum().backward()
        _settle(device)
        steps += 1
    return work * steps / (time.perf_counter() - started)


def _settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
