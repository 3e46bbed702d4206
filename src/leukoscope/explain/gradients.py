"""Maps by gradients of the torch network: Grad-CAM++, and integrated gradients by captum.

A. Chattopadhay et al., "Grad-CAM++", WACV 2018. M. Sundararajan et al., "Axiomatic attribution for deep
networks", ICML 2017; captum (BSD) works them out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leukoscope.bundle.format import WEIGHTS
from leukoscope.bundle.read import Bundle
from leukoscope.errors import MissingExtraError, UsageError
from leukoscope.explain.evidence import Cells, Floats, positive
from leukoscope.explain.foreground import plain
from leukoscope.explain.methods import AGAINST_PLAIN, Mapper, Method, methods, place_side
from leukoscope.inference.backends import Backend
from leukoscope.inference.torch_backend import load_network, new_network

STEPS = 32
"""Of the integral from reference to cell."""
AT_ONCE = 16
PLACES = 28
"""Places in a row that pixels are added up to, at least."""


@methods.add("grad-cam++")
def grad_cam(bundle: Bundle, backend: Backend) -> Method:
    """Where the last maps speak for blast, by Grad-CAM++: what speaks against it is not shown."""
    network = _network(bundle, "grad-cam++")
    layer = last_layer(network, bundle.info.preprocess.size)
    return Method(
        name="grad-cam++",
        title=f"Grad-CAM++ at the layer {layer}",
        value="share of the strongest place of the same cell; what speaks against blast is not shown",
        unit="",
        mapper=lambda cells: grad_cam_maps(network, layer, cells, positive(bundle.info)),
        randomised=lambda seed: _random_grad_cam(bundle, layer, seed),
        signed=False,
    )


@methods.add("integrated-gradients")
def integrated_gradients(bundle: Bundle, backend: Backend) -> Method:
    """What each place adds to the log-odds, against the cell filled with its mean colour."""
    network = _network(bundle, "integrated-gradients")
    return Method(
        name="integrated-gradients",
        title="integrated gradients",
        value=AGAINST_PLAIN,
        unit="log-odds",
        mapper=_integrated(bundle, network),
        randomised=lambda seed: _integrated(bundle, _random(bundle, seed)),
        reference=plain,
    )


def _network(bundle: Bundle, method: str) -> Any:
    """The bundle's network.

    Raises:
        MissingExtraError: without torch or captum.
        UsageError: where the bundle keeps no weights.
    """
    try:
        import captum  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError(f"the method '{method}'", "explain") from None
    if WEIGHTS not in bundle.info.files:
        raise UsageError(
            f"the bundle {bundle.info.name} keeps no weights, which '{method}' needs",
            hint="use --method occlusion",
        )
    return load_network(bundle)


def _random(bundle: Bundle, seed: int) -> Any:
    """The bundle's network before any training."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return new_network(bundle)


def _random_grad_cam(bundle: Bundle, layer: str, seed: int) -> Mapper:
    network = _random(bundle, seed)
    return lambda cells: grad_cam_maps(network, layer, cells, positive(bundle.info))


def last_layer(network: Any, size: int) -> str:
    """The name of the last layer of a network's trunk that gives maps of more than one place."""
    import torch

    seen: list[str] = []

    def look(name: str) -> Any:
        def hook(_layer: Any, _inputs: Any, given: Any) -> None:
            if torch.is_tensor(given) and given.ndim == 4 and min(given.shape[2:]) > 1:
                seen.append(name)

        return hook

    hooks = [part.register_forward_hook(look(name)) for name, part in network.named_modules() if name]
    try:
        with torch.no_grad():
            network(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    finally:
        for one in hooks:
            one.remove()
    if not seen:
        raise UsageError("the network has no layer with maps", hint="use --method occlusion")
    return seen[-1]


def grad_cam_maps(network: Any, layer: str, cells: Cells, is_positive: np.ndarray) -> Floats:
    """Maps (N, h, w), 0 to 1, the highest of each cell 1 (all 0 where nothing speaks for blast).

    With A the maps (C, h, w) of the layer and g the gradient of the log-odds with respect to them, a channel
    weighs the sum over its places of ``relu(g) * g² / (2 g² + g³ ΣA)``; the map is ``relu(Σ weight * A)``.
    """
    import torch

    kept: list[Any] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _l, _i, given: kept.append(given))
    maps = []
    try:
        for start in range(0, len(cells), AT_ONCE):
            kept.clear()
            odds = _log_odds(network(_tensor(cells[start : start + AT_ONCE])).logits, is_positive)
            given = kept[-1]
            slope = torch.autograd.grad(odds.sum(), given)[0]
            given = given.detach()
            below = 2 * slope**2 + slope**3 * given.sum((2, 3), keepdim=True)
            alpha = torch.where(below != 0, slope**2 / torch.where(below != 0, below, 1.0), 0.0)
            weights = (alpha * torch.relu(slope)).sum((2, 3), keepdim=True)
            found = torch.relu((weights * given).sum(1))
            most = found.amax((1, 2), keepdim=True)
            maps.append((found / torch.where(most > 0, most, 1.0)).numpy())
    finally:
        hook.remove()
    return np.asarray(np.concatenate(maps), dtype=np.float32)


def _integrated(bundle: Bundle, network: Any) -> Mapper:
    side = place_side(bundle.info.preprocess.size, PLACES)
    is_positive = positive(bundle.info)
    return lambda cells: integrated_maps(network, cells, plain(cells), is_positive, side=side)


def integrated_maps(
    network: Any, cells: Cells, references: Cells, is_positive: np.ndarray, *, side: int, steps: int = STEPS
) -> Floats:
    """Integrated gradients (N, S / side, S / side), pixels and colours of a square added up.

    They add up to the log-odds of a cell less those of its reference, but for the error of the integral.

    Args:
        network: a :class:`~leukoscope.models.base.CellNetwork`.
        cells: (N, S, S, 3) uint8.
        references: where the way begins, likewise.
        is_positive: which classes count as blast.
        side: of a place, pixels.
        steps: of the integral.
    """
    from captum.attr import IntegratedGradients

    work = IntegratedGradients(lambda pixels: _log_odds(network.read(pixels).logits, is_positive))
    size = cells.shape[1]
    maps = []
    for first in range(0, len(cells), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        start, end = (_tensor(batch[part]).permute(0, 3, 1, 2).float() for batch in (references, cells))
        found = work.attribute(end, baselines=start, n_steps=steps, internal_batch_size=AT_ONCE)
        squares = found.detach().numpy().reshape(-1, 3, size // side, side, size // side, side)
        maps.append(squares.sum(axis=(1, 3, 5)))
    return np.asarray(np.concatenate(maps), dtype=np.float32)


def _tensor(cells: Cells) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(cells))


def _log_odds(logits: Any, is_positive: np.ndarray) -> Any:
    """As :func:`~leukoscope.explain.evidence.log_odds`, so that a gradient can be had."""
    import torch

    chosen = torch.from_numpy(is_positive)
    return logits[:, chosen].logsumexp(1) - logits[:, ~chosen].logsumexp(1)
