"""Random numbers for augmentation, all from one generator, on its device, with no wait for the device."""

from __future__ import annotations

import torch
from torch import Tensor


def share(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform in 0..1."""
    return torch.rand(shape, generator=generator, device=generator.device)


def spread(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    """Uniform in -limit..limit."""
    return (share(shape, generator) * 2 - 1) * limit


def half(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """True for one in two."""
    return spread(shape, 1.0, generator) > 0


def beta(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """(count,) from Beta(alpha, alpha).

    It is the share of one of two gamma variates. Small alphas make both too small for a float, so their
    logarithms are drawn: gamma(alpha) = gamma(alpha + 1) * u ** (1 / alpha) (Marsaglia & Tsang 2000).
    """
    shape = torch.full((2, count), alpha + 1, device=generator.device)
    uniform = 1 - share((2, count), generator)  # never 0
    logarithms = torch._standard_gamma(shape, generator=generator).log() + uniform.log() / alpha
    return torch.sigmoid(logarithms[0] - logarithms[1])
